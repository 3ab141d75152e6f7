"""What is remembered: runs, tasks, jobs, events, leases, kill requests and slots."""
