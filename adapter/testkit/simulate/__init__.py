"""A fake of any described scheduler, made from its backend file alone: stand-ins for its programs, on a PATH.

``text`` makes text that a pattern reads, ``answers`` whole answers, ``calls`` records how the commands call the
programs, ``plan`` puts that together and proves it, ``folder`` writes it down, and ``stand_in`` is what runs then.
"""
