/**
 * CloneSession without an id for the new session, as every client sends it that was not told one: the
 * driver would make one up, and nobody would know whose it is. authz chooses it, and Envoy writes it
 * into the message on its way.
 */
import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { FilterConfigSchema } from '#gen/envoy/config/route/v3/route_components_pb.js';
import {
  type HttpFilter,
  HttpFilterSchema,
} from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { TypedStructSchema } from '#gen/xds/type/v3/typed_struct_pb.js';
import { NEW_SESSION_HEADER, SPARK_CONNECT_SERVICE } from '../model/names.js';
import { pack, TYPE_PREFIX } from './settings.js';

export const CLONE_SESSION_PATH = `/${SPARK_CONNECT_SERVICE}/CloneSession`;
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

/** Runs where a route asks for it, and costs other requests nothing. */
export function newSessionIdFilter(): HttpFilter {
  return create(HttpFilterSchema, {
    name: FILTER,
    disabled: true,
    configType: {
      case: 'typedConfig',
      value: pack(TypedStructSchema, {
        typeUrl: `${TYPE_PREFIX}envoy.extensions.filters.http.lua.v3.Lua`,
        value: { default_source_code: { inline_string: SCRIPT } },
      }),
    },
  });
}

/** For the routes of `CLONE_SESSION_PATH`. */
export function withNewSessionId(): Record<string, Any> {
  return { [FILTER]: pack(FilterConfigSchema, { config: {} }) };
}
