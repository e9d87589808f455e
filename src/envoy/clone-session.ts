/**
 * CloneSession without an id for the new session, as every client sends it that was not told one: the
 * driver would make one up, and nobody would know whose it is. authz chooses it, and Envoy writes it
 * into the message on its way.
 */
import type { HttpFilter } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { NEW_SESSION_HEADER, rpcPath } from '../model/names.js';
import { optionalFilter, typedStruct, withFilter } from './settings.js';

export const CLONE_SESSION_PATH = rpcPath('CloneSession');
const FILTER = 'envoy.filters.http.lua';

/**
 * Appends `new_session_id` (field 4 of CloneSessionRequest: tag 34, length 36) to the
 * one message of the body, and adds its 38 bytes to the length in the message's header.
 */
const SCRIPT = `
function envoy_on_request(handle)
  local headers = handle:headers()
  local id = headers:get("${NEW_SESSION_HEADER}")
  if not id then return end
  local body = handle:body()
  local bytes = body:getBytes(0, body:length())
  local a, b, c, d = bytes:byte(2, 5)
  local length = ((a * 256 + b) * 256 + c) * 256 + d + 38
  local header = string.char(0, math.floor(length / 16777216), math.floor(length / 65536) % 256,
    math.floor(length / 256) % 256, length % 256)
  handle:headers():remove("content-length")
  body:setBytes(header .. bytes:sub(6) .. string.char(34, 36) .. id)
end
`;

export function newSessionIdFilter(): HttpFilter {
  return optionalFilter(
    FILTER,
    typedStruct('envoy.extensions.filters.http.lua.v3.Lua', {
      default_source_code: { inline_string: SCRIPT },
    }),
  );
}

/** For the routes of `CLONE_SESSION_PATH`. */
export const withNewSessionId = () => withFilter(FILTER);
