"""A batch job over the Playground: submitted, followed, and its first rows fetched. No session is held."""

import sys
from pathlib import Path

from spark_connect_helper.batch import job_logs, job_results, submit_job, wait_for_job

job = submit_job(Path(sys.argv[1]).read_text(), "test", job_name="daily-report")
print(f"Job {job.job_id}")
for line in job_logs(job, "test"):
    print(line)
wait_for_job(job, "test")
results = job_results(job, "test")
print(results.columns, results.rows, f"{results.count} rows in all")
