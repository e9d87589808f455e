/**
 * A lease of authz's decision: Envoy remembers for a few seconds what authz let one ReleaseExecute leave
 * with, and lets equal ones go without asking again. Nearly all RPCs are ReleaseExecute, and each says the
 * same of who asks and for which session (docs/decisions/decision-leases.md).
 *
 * Equal means: the same token, authority, routing headers, session and user, byte for byte. A message that
 * is in any way unusual is left to authz.
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
  LEASE_HEADER,
  LEASE_WORDS,
  LEASED_RPC,
  rpcPath,
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

export const LEASED_PATH = rpcPath(LEASED_RPC);

const LUA = 'envoy.extensions.filters.http.lua.v3.Lua';

export function leaseFilter(): HttpFilter {
  return optionalFilter(ResourceNames.lease, {
    case: 'configDiscovery',
    value: { configSource: fromAds(), typeUrls: [`${TYPE_PREFIX}${LUA}`] },
  });
}

/** For the routes of `LEASED_PATH`, where there are leases. */
export const withLease = () => withFilter(ResourceNames.lease);

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
        services: [{ name: SPARK_CONNECT_SERVICE, method_names: [LEASED_RPC] }],
      },
      enable_upstream_stats: true,
    }),
  );
}

/** For the routes of `LEASED_PATH`. */
export const withCounts = () => withFilter(COUNTS);

/** ECDS: sent apart from the listener, so that a change cuts no stream. */
export function lease(settings: AuthzSettings): TypedExtensionConfig {
  const config = { default_source_code: { inline_string: script(settings.headers) } };
  return create(TypedExtensionConfigSchema, {
    name: ResourceNames.lease,
    typedConfig: typedStruct(LUA, config).value,
  });
}

/**
 * The state is that of a worker thread. A question that gets no answer leaves its place to a later one; when
 * there are too many leases all are forgotten.
 */
function script(headers: readonly string[]): string {
  const names = headers.map((name) => `"${name.toLowerCase()}"`).join(', ');
  return `
local MOST_LEASES, MOST_ASKED = 4096, 1024
local STAMPED = { ${LEASE_WORDS.map((name) => `"${name}"`).join(', ')} }
-- What else must be the same, beside token, session and user.
local SAME = { ":authority", ${names} }
local byte, sub, time = string.byte, string.sub, os.time
local STAMPS, SAMES = #STAMPED, #SAME

-- By token, by session, by user.
local leases, count = {}, 0
local asked, last = {}, 0

-- Whose the one message of a body is: session_id (field 1) and user_context (field 2), each once. Nil for
-- whatever is not as every client writes it.
local function identity(bytes)
  local size = #bytes
  if size < 5 then return nil end
  local flag, a, b, c, d = byte(bytes, 1, 5)
  if flag ~= 0 or ((a * 256 + b) * 256 + c) * 256 + d ~= size - 5 then return nil end
  local at, session, user = 6, nil, nil
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
end

local function leaseOf(token, session, user)
  local sessions = leases[token]
  local users = sessions and sessions[session]
  return users and users[user]
end

local function isFor(lease, headers)
  for i = 1, SAMES do
    if lease.same[i] ~= (headers:get(SAME[i]) or "") then return false end
  end
  return true
end

local function keep(lease, token, session, user)
  if not leaseOf(token, session, user) then
    if count >= MOST_LEASES then leases, count = {}, 0 end
    count = count + 1
  end
  local sessions = leases[token] or {}
  local users = sessions[session] or {}
  leases[token], sessions[session], users[user] = sessions, users, lease
end

function envoy_on_request(handle)
  local body = handle:body()
  if not body then return end
  local length = body:length()
  if length > ${BODY_PREFIX_BYTES} then return end
  local session, user = identity(body:getBytes(0, length))
  if not user then return end
  -- Headers that were had before the body came would be of no use any more.
  local headers = handle:headers()
  local token = headers:get("authorization")
  if not token then return end
  local lease = leaseOf(token, session, user)
  if lease and time() < lease.ends and isFor(lease, headers) then
    for i = 1, STAMPS do headers:replace(STAMPED[i], lease[i]) end
    if lease.token then headers:replace("authorization", lease.token) else headers:remove("authorization") end
    handle:clearRouteCache()
    return
  end
  local same = {}
  for i = 1, SAMES do same[i] = headers:get(SAME[i]) or "" end
  last = last % 1000000000 + 1
  asked[last % MOST_ASKED] = { number = last, token = token, session = session, user = user, same = same }
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
  keep(lease, question.token, question.session, question.user)
end
`;
}
