-- A journal written by the version before the store: its code, `sqlite3 journal.sqlite .dump`.
BEGIN TRANSACTION;
CREATE TABLE brought (
        run TEXT NOT NULL REFERENCES runs(id), path TEXT NOT NULL, number INTEGER NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (run, path)
    ) WITHOUT ROWID;
INSERT INTO "brought" VALUES('bbbbbbbbbb','/here/a.txt',1,'/ws/1/a.txt');
CREATE TABLE events (
        at REAL NOT NULL, run TEXT, number INTEGER, attempt INTEGER, what TEXT NOT NULL, text TEXT NOT NULL
    );
INSERT INTO "events" VALUES(1001.0,NULL,NULL,NULL,'site_down','no route');
INSERT INTO "events" VALUES(1002.0,'bbbbbbbbbb',1,1,'submit_waits','a limit');
INSERT INTO "events" VALUES(1003.0,'bbbbbbbbbb',1,1,'requeued','again');
CREATE TABLE jobs (
        run TEXT NOT NULL REFERENCES runs(id), number INTEGER NOT NULL, attempt INTEGER NOT NULL,
        name TEXT NOT NULL, state TEXT NOT NULL, job_id TEXT, collected INTEGER NOT NULL, record TEXT NOT NULL, slot INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (run, number, attempt)
    ) WITHOUT ROWID;
INSERT INTO "jobs" VALUES('aaaaaaaaaa',1,1,'first','succeeded','7',1,'{"run": "aaaaaaaaaa", "index": 1, "attempt": 1, "state": "succeeded", "reason": null, "message": "", "wait_reason": "", "job_id": "7", "directory": "/ws/1", "submit_try": 1, "submit_began": true, "exit_code": 0, "signal": null, "native_state": null, "array": null, "after_succeeded": [], "after_ended": [], "files_of": [], "replaces": false, "created_at": 1000.0, "submitted_at": null, "started_at": null, "ended_at": 1009.0, "left_since": null, "exit_seen_at": null, "kill_requested_at": null, "kill_sent_at": null, "kill_escalated_at": null, "collected": true, "collect_problem": "", "task": {"steps": [{"argv": ["echo", "\u00e9 ''x''"]}], "name": "first", "outputs": [{"path": "*.txt", "to": "."}], "allowed_exit_codes": [0], "resources": {"ram": "1073741824B"}}, "usage": {"wall_s": 1.5, "user_s": null, "system_s": null, "cpu_s": null, "peak_ram_bytes": null}}',0);
INSERT INTO "jobs" VALUES('aaaaaaaaaa',2,1,'second','running','8',0,'{"run": "aaaaaaaaaa", "index": 2, "attempt": 1, "state": "running", "reason": null, "message": "", "wait_reason": "", "job_id": "8", "directory": "/ws/2", "submit_try": 1, "submit_began": true, "exit_code": null, "signal": null, "native_state": null, "array": null, "after_succeeded": [], "after_ended": [], "files_of": [], "replaces": false, "created_at": 1000.0, "submitted_at": null, "started_at": null, "ended_at": null, "left_since": null, "exit_seen_at": null, "kill_requested_at": null, "kill_sent_at": null, "kill_escalated_at": null, "collected": false, "collect_problem": "", "task": {"steps": [{"shell": "exit 3"}], "name": "second", "after": [{"task": "first", "until": "succeeded"}], "allowed_exit_codes": [0]}, "usage": {"wall_s": null, "user_s": null, "system_s": null, "cpu_s": null, "peak_ram_bytes": null}}',1);
INSERT INTO "jobs" VALUES('bbbbbbbbbb',1,1,'first','succeeded','7',1,'{"run": "bbbbbbbbbb", "index": 1, "attempt": 1, "state": "succeeded", "reason": null, "message": "", "wait_reason": "", "job_id": "7", "directory": "/ws/1", "submit_try": 1, "submit_began": true, "exit_code": 0, "signal": null, "native_state": null, "array": null, "after_succeeded": [], "after_ended": [], "files_of": [], "replaces": false, "created_at": 1000.0, "submitted_at": null, "started_at": null, "ended_at": 1009.0, "left_since": null, "exit_seen_at": null, "kill_requested_at": null, "kill_sent_at": null, "kill_escalated_at": null, "collected": true, "collect_problem": "", "task": {"steps": [{"argv": ["echo", "\u00e9 ''x''"]}], "name": "first", "outputs": [{"path": "*.txt", "to": "."}], "allowed_exit_codes": [0], "resources": {"ram": "1073741824B"}}, "usage": {"wall_s": 1.5, "user_s": null, "system_s": null, "cpu_s": null, "peak_ram_bytes": null}}',0);
INSERT INTO "jobs" VALUES('bbbbbbbbbb',2,1,'second','running','8',0,'{"run": "bbbbbbbbbb", "index": 2, "attempt": 1, "state": "running", "reason": null, "message": "", "wait_reason": "", "job_id": "8", "directory": "/ws/2", "submit_try": 1, "submit_began": true, "exit_code": null, "signal": null, "native_state": null, "array": null, "after_succeeded": [], "after_ended": [], "files_of": [], "replaces": false, "created_at": 1000.0, "submitted_at": null, "started_at": null, "ended_at": null, "left_since": null, "exit_seen_at": null, "kill_requested_at": null, "kill_sent_at": null, "kill_escalated_at": null, "collected": false, "collect_problem": "", "task": {"steps": [{"shell": "exit 3"}], "name": "second", "after": [{"task": "first", "until": "succeeded"}], "allowed_exit_codes": [0]}, "usage": {"wall_s": null, "user_s": null, "system_s": null, "cpu_s": null, "peak_ram_bytes": null}}',1);
INSERT INTO "jobs" VALUES('bbbbbbbbbb',2,2,'second','failed',NULL,1,'{"run": "bbbbbbbbbb", "index": 2, "attempt": 2, "state": "failed", "reason": "exit_code", "message": "", "wait_reason": "", "job_id": null, "directory": null, "submit_try": 1, "submit_began": false, "exit_code": 3, "signal": null, "native_state": null, "array": null, "after_succeeded": [], "after_ended": [], "files_of": [], "replaces": false, "created_at": null, "submitted_at": null, "started_at": null, "ended_at": null, "left_since": null, "exit_seen_at": null, "kill_requested_at": null, "kill_sent_at": null, "kill_escalated_at": null, "collected": true, "collect_problem": "", "task": {"steps": [{"shell": "exit 3"}], "name": "second", "after": [{"task": "first", "until": "succeeded"}], "allowed_exit_codes": [0]}, "usage": {"wall_s": null, "user_s": null, "system_s": null, "cpu_s": null, "peak_ram_bytes": null}}',0);
CREATE TABLE kill_requests (run TEXT NOT NULL, number INTEGER, at REAL NOT NULL);
INSERT INTO "kill_requests" VALUES('aaaaaaaaaa',2,1004.0);
CREATE TABLE runs (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, created_at REAL NOT NULL,
        backend TEXT NOT NULL, document TEXT NOT NULL, lineage TEXT NOT NULL,
        owner TEXT, owned_until REAL
    , note TEXT NOT NULL DEFAULT '');
INSERT INTO "runs" VALUES('aaaaaaaaaa','old run',1000.0,'toy','{"name": "toy", "submit": {"command": "x"}}','["toy", "batch"]',NULL,NULL,'it waits');
INSERT INTO "runs" VALUES('bbbbbbbbbb','old run',1001.0,'toy','{"name": "toy", "submit": {"command": "x"}}','["toy", "batch"]',NULL,NULL,'');
CREATE TABLE submits (backend TEXT NOT NULL, at REAL NOT NULL, jobs INTEGER NOT NULL);
INSERT INTO "submits" VALUES('toy',1000.0,2);
CREATE INDEX jobs_by_state ON jobs(state, collected);
CREATE INDEX events_by_run ON events(run, number);
CREATE INDEX jobs_by_slot ON jobs(run) WHERE slot;
COMMIT;
PRAGMA user_version=3;
