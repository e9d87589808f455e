/** Rules in CEL by which an API server refuses a policy that compile.ts would refuse as well. */
import type { AdmissionRule } from '../yaml/schema.js';

export const sizeWithinMaximum: AdmissionRule = {
  rule: '!has(self.size) || !has(self.maximum) || self.size <= self.maximum',
  message: 'size must not exceed maximum',
};

/** No two entries of this list have the same `name`. */
export function distinctNames(list: string): AdmissionRule {
  return {
    rule: `!has(self.${list}) || self.${list}.all(one, self.${list}.exists_one(other, other.name == one.name))`,
    message: `each name of ${list} is given once`,
  };
}

/** No entry of one list has the `name` of an entry of the other. */
export function namesApart(list: string, other: string): AdmissionRule {
  return {
    rule: `!has(self.${list}) || !has(self.${other}) || !self.${list}.exists(one, self.${other}.exists(other, other.name == one.name))`,
    message: `${list} and ${other} have no name in common`,
  };
}
