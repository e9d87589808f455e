/** `release`. */
import type { SessionAnswer } from '../../model/admin-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import type { Shown } from '../render.js';
import { ownSessions, sessionNamed } from './sessions.js';

export const release: OnlineCommand = {
  name: 'release',
  about: 'Ends a session, your own without a role. Its client is told at its next request.',
  operands: '<session>',
  insteadOfOperand: ['mine'],
  options: [{ name: 'mine', about: 'Ends all that are your own.' }],
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const [written] = context.operands;
  const own = (await ownSessions(context)).map(({ id }) => id);
  if (context.options.has('mine')) return releaseAll(context, own);
  const id = await sessionNamed(context, written ?? '');
  const answer = await releaseOne(context, id, own.includes(id));
  return { value: answer, people: () => endedSentence(answer) };
}

async function releaseAll(context: OnlineContext, own: readonly string[]): Promise<Shown> {
  const answers: SessionAnswer[] = [];
  for (const id of own) answers.push(await releaseOne(context, id, true));
  return {
    value: answers,
    people: () => answers.map(endedSentence).join('') || 'You have no session.\n',
  };
}

function releaseOne({ client }: OnlineContext, id: string, isOwn: boolean): Promise<SessionAnswer> {
  const path = `sessions/${encodeURIComponent(id)}/release`;
  return client.post<SessionAnswer>(isOwn ? `me/${path}` : path, {});
}

function endedSentence({ id, end, endedAt }: SessionAnswer): string {
  return `Session ${id} has ended (${end}, ${endedAt}).\n`;
}
