/** What the peer has said in SETTINGS (RFC 9113, section 6.5). */
import {
  ConnectionError,
  DEFAULT_FRAME_BYTES,
  DEFAULT_WINDOW,
  ErrorCode,
  LARGEST_FRAME_BYTES,
  LARGEST_WINDOW,
  Setting,
} from './frame.js';

const SETTING_BYTES = 6;

export class PeerSettings {
  /** Whether the peer has said anything yet. */
  known = false;
  /** What each of its streams takes before it says more. */
  initialWindow = DEFAULT_WINDOW;
  maxFrameBytes = DEFAULT_FRAME_BYTES;

  /** Applies a payload. Returns by how much the window of open streams grows. Throws ConnectionError. */
  read(payload: Buffer): number {
    if (payload.length % SETTING_BYTES !== 0) {
      throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'SETTINGS have another size');
    }
    this.known = true;
    const before = this.initialWindow;
    for (let at = 0; at < payload.length; at += SETTING_BYTES) {
      this.#apply(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
    return this.initialWindow - before;
  }

  #apply(setting: number, value: number): void {
    if (setting === Setting.INITIAL_WINDOW_SIZE) {
      if (value > LARGEST_WINDOW) {
        throw new ConnectionError(ErrorCode.FLOW_CONTROL_ERROR, 'the initial window is too large');
      }
      this.initialWindow = value;
    } else if (setting === Setting.MAX_FRAME_SIZE) {
      if (value < DEFAULT_FRAME_BYTES || value > LARGEST_FRAME_BYTES) {
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the frame size is out of range');
      }
      this.maxFrameBytes = value;
    } else if (setting === Setting.ENABLE_PUSH && value > 1) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'ENABLE_PUSH is neither 0 nor 1');
    }
  }
}
