/**
 * A lease of authz's decision: Envoy remembers for a few seconds what authz let a ReleaseExecute or a Config
 * leave with, and lets equal ones go without asking again. Nearly all RPCs are ReleaseExecute, and each says the
 * same of who asks and for which session; a client reads the same settings again and again
 * (docs/decisions/decision-leases.md).
 *
 * Equal means: the same token, authority and routing headers, and the same session and user of a ReleaseExecute,
 * the same message of a Config, byte for byte. A message that is in any way unusual is left to authz.
 */
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import {
  type TypedExtensionConfig,
  TypedExtensionConfigSchema,
} from '#gen/envoy/config/core/v3/extension_pb.js';
import type { HttpFilter } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import {
  BODY_PREFIX_BYTES,
  COUNTED_RPC,
  LEASE_HEADER,
  LEASE_WORDS,
  type LeasedRpc,
  SPARK_CONNECT_SERVICE,
} from '../model/names.js';
import {
  type AuthzSettings,
  fromAds,
  optionalFilter,
  ResourceNames,
  TYPE_PREFIX,
  typedStruct,
  withFilter,
} from './settings.js';

const LUA = 'envoy.extensions.filters.http.lua.v3.Lua';

export function leaseFilter(): HttpFilter {
  return optionalFilter(ResourceNames.lease, {
    case: 'configDiscovery',
    value: { configSource: fromAds(), typeUrls: [`${TYPE_PREFIX}${LUA}`] },
  });
}

/** For the routes of the RPC, where there are leases. */
export function withLease(rpc: LeasedRpc): Record<string, Any> {
  return withFilter(ResourceNames.lease, typedStruct(`${LUA}PerRoute`, { name: rpc }).value);
}

/**
 * For the route that a leased request leaves by, which is chosen when it has been looked at: its answer says
 * nothing of a lease.
 */
export function withoutLease(): Record<string, Any> {
  return { [ResourceNames.lease]: typedStruct(`${LUA}PerRoute`, { disabled: true }).value };
}

const COUNTS = 'envoy.filters.http.grpc_stats';

/**
 * Counts and times what has no record, by cluster and method (src/authz/envoy-counts-reader.ts reads them).
 */
export function countsFilter(): HttpFilter {
  return optionalFilter(
    COUNTS,
    typedStruct('envoy.extensions.filters.http.grpc_stats.v3.FilterConfig', {
      individual_method_stats_allowlist: {
        services: [{ name: SPARK_CONNECT_SERVICE, method_names: [COUNTED_RPC] }],
      },
      enable_upstream_stats: true,
    }),
  );
}

/** For the routes of `COUNTED_RPC`. */
export const withCounts = () => withFilter(COUNTS);

/** ECDS: sent apart from the listener, so that a change cuts no stream. */
export function lease(settings: AuthzSettings): TypedExtensionConfig {
  const source = (rpc: LeasedRpc) => ({ inline_string: script(rpc, settings.headers) });
  const config = {
    source_codes: { ReleaseExecute: source('ReleaseExecute'), Config: source('Config') },
  };
  return create(TypedExtensionConfigSchema, {
    name: ResourceNames.lease,
    typedConfig: typedStruct(LUA, config).value,
  });
}

interface Question {
  /** A longer message is left to authz. */
  readonly mostBytes: number;
  /** Lua: `subject(bytes)`, two texts by which a token's lease is found; nil for a message that has none. */
  readonly subject: string;
}

const FRAMED = `
-- Whether it is one message, whole and not compressed.
local function framed(bytes)
  local size = #bytes
  if size < 5 then return false end
  local flag, a, b, c, d = byte(bytes, 1, 5)
  return flag == 0 and ((a * 256 + b) * 256 + c) * 256 + d == size - 5
end
`;

const QUESTIONS: Readonly<Record<LeasedRpc, Question>> = {
  ReleaseExecute: {
    mostBytes: BODY_PREFIX_BYTES,
    subject: `
-- Whose it is: session_id (field 1) and user_context (field 2), each once. Nil for whatever is not as every
-- client writes it.
local function subject(bytes)
  if not framed(bytes) then return nil end
  local size, at, session, user = #bytes, 6, nil, nil
  while at <= size do
    local tag, length = byte(bytes, at, at + 1)
    if not length or tag < 8 or tag > 127 then return nil end
    local wire = tag % 8
    at = at + 2
    if wire == 2 then
      if length > 127 then
        local high = byte(bytes, at)
        if not high or high == 0 or high > 127 then return nil end
        length, at = length - 128 + high * 128, at + 1
      end
      local stop = at + length - 1
      if stop > size then return nil end
      if tag == 10 then
        if session then return nil end
        session = sub(bytes, at, stop)
      elseif tag == 18 then
        if user then return nil end
        user = sub(bytes, at, stop)
      end
      at = stop + 1
    elseif wire ~= 0 or length > 127 or tag == 8 or tag == 16 then
      return nil
    end
  end
  if not session then return nil end
  return session, user
end`,
  },
  Config: {
    // With the settings that PySpark reads for a result some 400.
    mostBytes: 1024,
    subject: `
local function subject(bytes)
  if framed(bytes) then return bytes, "" end
end`,
  },
};

/**
 * The state is that of a worker thread and an RPC. A question that gets no answer leaves its place to a later one;
 * when there are too many leases all are forgotten.
 */
function script(rpc: LeasedRpc, headers: readonly string[]): string {
  const names = headers.map((name) => `"${name.toLowerCase()}"`).join(', ');
  const { mostBytes, subject } = QUESTIONS[rpc];
  return `
local MOST_LEASES, MOST_ASKED = 4096, 1024
local STAMPED = { ${LEASE_WORDS[rpc].map((name) => `"${name}"`).join(', ')} }
-- What else must be the same.
local SAME = { ":authority", ${names} }
local byte, sub, time = string.byte, string.sub, os.time
local STAMPS, SAMES = #STAMPED, #SAME

-- By token and subject.
local leases, count = {}, 0
local asked, last = {}, 0

${FRAMED}${subject}

local function leaseOf(token, what, whose)
  local all = leases[token]
  local equal = all and all[what]
  return equal and equal[whose]
end

local function isFor(lease, headers)
  for i = 1, SAMES do
    if lease.same[i] ~= (headers:get(SAME[i]) or "") then return false end
  end
  return true
end

local function keep(lease, token, what, whose)
  if not leaseOf(token, what, whose) then
    if count >= MOST_LEASES then leases, count = {}, 0 end
    count = count + 1
  end
  local all = leases[token] or {}
  local equal = all[what] or {}
  leases[token], all[what], equal[whose] = all, equal, lease
end

function envoy_on_request(handle)
  local body = handle:body()
  if not body then return end
  local length = body:length()
  if length > ${mostBytes} then return end
  local what, whose = subject(body:getBytes(0, length))
  if not whose then return end
  -- Headers that were had before the body came would be of no use any more.
  local headers = handle:headers()
  local token = headers:get("authorization")
  if not token then return end
  local lease = leaseOf(token, what, whose)
  if lease and time() < lease.ends and isFor(lease, headers) then
    for i = 1, STAMPS do headers:replace(STAMPED[i], lease[i]) end
    if lease.token then headers:replace("authorization", lease.token) else headers:remove("authorization") end
    handle:clearRouteCache()
    return
  end
  local same = {}
  for i = 1, SAMES do same[i] = headers:get(SAME[i]) or "" end
  last = last % 1000000000 + 1
  asked[last % MOST_ASKED] = { number = last, token = token, what = what, whose = whose, same = same }
  headers:replace("${LEASE_HEADER}", tostring(last))
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local said = headers:get("${LEASE_HEADER}")
  if not said then return end
  headers:remove("${LEASE_HEADER}")
  local words = {}
  for word in said:gmatch("%S+") do words[#words + 1] = word end
  local number, seconds = tonumber(words[1]), tonumber(words[2])
  local question = number and asked[number % MOST_ASKED]
  if not question or question.number ~= number or not seconds or #words < STAMPS + 2 then return end
  asked[number % MOST_ASKED] = nil
  local lease = { ends = time() + seconds, same = question.same }
  for i = 1, STAMPS do lease[i] = words[i + 2] end
  local token = words[STAMPS + 3]
  lease.token = token and "Bearer " .. token
  keep(lease, question.token, question.what, question.whose)
end
`;
}
