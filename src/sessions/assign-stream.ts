/** One AssignMany stream: sessions in, drivers and refusals out, each as soon as it is known. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import {
  AssignManyResponseSchema,
  type AssignManyRequest,
  type AssignManyResponse,
  type Assignment,
  type AssignRequest,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { fitForHeaders, statusDetails } from '../lib/grpc/status-details.js';
import { toGatewayError } from '../model/errors.js';

/** Rejects with what the sidecar is to be told, or when the signal fires. */
export type AnswerAssign = (
  asked: AssignRequest,
  traceparent: string | undefined,
  signal: AbortSignal,
) => Promise<Assignment>;

export function assignMany(
  call: ServerDuplexStream<AssignManyRequest, AssignManyResponse>,
  answerAssign: AnswerAssign,
): void {
  const waiting = new Map<number, AbortController>();
  let isEnded = false;

  const leave = (): void => {
    for (const abort of waiting.values()) abort.abort();
    waiting.clear();
  };
  const endIfDone = (): void => {
    if (isEnded && waiting.size === 0) call.end();
  };
  const begin = (id: number, asked: AssignRequest, traceparent: string | undefined): void => {
    const abort = new AbortController();
    waiting.set(id, abort);
    const tell = (
      answer: NonNullable<MessageInitShape<typeof AssignManyResponseSchema>['answer']>,
    ): void => {
      // Nobody waits for it any more.
      if (waiting.get(id) !== abort) return;
      waiting.delete(id);
      call.write(create(AssignManyResponseSchema, { id, answer }));
      endIfDone();
    };
    answerAssign(asked, traceparent, abort.signal).then(
      (assignment) => tell({ case: 'assignment', value: assignment }),
      (error: unknown) => {
        const refusal = statusDetails(fitForHeaders(toGatewayError(error)));
        tell({ case: 'refusal', value: refusal });
      },
    );
  };

  call.on('data', ({ id, asked, traceparent }: AssignManyRequest) => {
    if (asked) begin(id, asked, traceparent === '' ? undefined : traceparent);
    else {
      waiting.get(id)?.abort();
      waiting.delete(id);
      endIfDone();
    }
  });
  call.on('end', () => {
    isEnded = true;
    endIfDone();
  });
  call.on('cancelled', leave);
  call.on('error', leave);
}
