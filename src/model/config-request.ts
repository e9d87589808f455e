/** What a request of the Config RPC asks of Spark's settings, as far as the gateway sees it. */
export interface ConfigRequest {
  /** Settings that it reads. */
  readonly reads: readonly string[];
  /** Settings that it sets or unsets. */
  readonly writes: readonly string[];
  /** It reads all settings that begin with one of these; the empty text is every setting. */
  readonly lists: readonly string[];
  /** Whether this is all of it: a long request goes on beyond what the gateway reads. */
  readonly whole: boolean;
}
