/** A job as the control plane tells it, in the Runner's words. */
import type { Job } from '#gen/spark_gateway/v1/batch_pb.js';
import { type JobState, jobStates } from '../model/job.js';

/** A state of a newer release is a doubt. */
export function jobStateOf(text: string): JobState {
  return jobStates.find((state) => state === text) ?? 'UNKNOWN';
}

/** `CODE: message (step "x", line 12)`: why a job did not complete; empty for one that may, or did. */
export function errorText(job: Job): string {
  const state = jobStateOf(job.state);
  if (state === 'PENDING' || state === 'RUNNING' || state === 'COMPLETED') return '';
  if (job.reasonCode === '' && job.reason === '') return '';
  const place = [
    ...(job.step === '' ? [] : [`step ${JSON.stringify(job.step)}`]),
    ...(job.line === 0 ? [] : [`line ${job.line}`]),
  ].join(', ');
  const text = [job.reasonCode, job.reason].filter((part) => part !== '').join(': ');
  return place === '' ? text : `${text} (${place})`;
}
