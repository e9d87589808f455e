import { about, text, withDefault } from '../yaml/schema.js';
import { choice } from '../yaml/text-type.js';

/** Whether a rule that refuses does so, or only tells whom it would refuse. */
export const modeField = about(
  'shadow: refuses nothing, but reports what it would refuse.',
  withDefault(text(choice('enforce', 'shadow')), 'enforce'),
);
