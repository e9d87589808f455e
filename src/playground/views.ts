/** Jobs as the REST API shows them. */
import type { Job } from '#gen/spark_gateway/v1/batch_pb.js';
import { isoTime } from '../model/clock.js';
import { jobErrorText, jobReasonOf, jobStateOf } from '../model/job.js';
import type { JobTransitionView, JobView } from '../model/playground-api.js';

export function jobView(job: Job): JobView {
  const state = jobStateOf(job.state);
  const reason = jobReasonOf(job);
  return {
    job_id: job.jobId,
    state,
    spark_ui_url: job.sparkUiUrl || null,
    error: jobErrorText(state, reason) || null,
    reason: reason ?? null,
    team: job.team,
    environment: job.environment,
    namespace: job.namespace,
    job_name: job.jobName,
    user: job.user,
    sandbox: job.sandbox,
    attempt: job.attempt,
    created_at: isoTime(Number(job.createdAtMs)),
    started_at: timeOf(job.startedAtMs),
    ended_at: timeOf(job.endedAtMs),
    deadline: timeOf(job.deadlineMs),
    cancelling: job.cancelling,
    output_path: job.outputPath || null,
  };
}

export function historyView({ history }: Job): readonly JobTransitionView[] {
  return history.map((transition) => {
    const reason = jobReasonOf(transition);
    return {
      state: jobStateOf(transition.state),
      at: isoTime(Number(transition.atMs)),
      ...(reason ? { reason } : {}),
    };
  });
}

function timeOf(ms: bigint): string | null {
  return ms === 0n ? null : isoTime(Number(ms));
}
