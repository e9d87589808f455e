/**
 * The session and the user that a request is allowed for, in any characters: base64 of
 * `<session_id>/<user_id>` (fence/DriverFence.scala). Never empty.
 */
export function requestIdentity(sessionId: string, userId: string): string {
  return Buffer.from(`${sessionId}/${userId}`).toString('base64');
}
