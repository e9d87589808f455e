/**
 * The size of each message of an upload (AddArtifacts, the one RPC with many request messages): what drivers
 * accept, and what the policy allows, which authz stamps on the request. authz sees the first message only, and
 * a driver that is sent too large a one closes its connection, with the streams of all who share it. So Envoy reads the length before each message (gRPC over HTTP/2, "Length-Prefixed-Message")
 * and passes a larger one on as one byte that is no message, without what comes after it: that ends this RPC
 * and no other. The client is told why.
 *
 * It runs for this RPC alone, and looks at five bytes of each message.
 */
import type { JsonObject } from '@bufbuild/protobuf';
import type { HttpFilter } from '#gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { GrpcStatus } from '../model/errors.js';
import { MESSAGE_LIMIT_HEADER, rpcPath } from '../model/names.js';
import { optionalFilter, typedStruct, withFilter } from './settings.js';

const LUA = 'envoy.extensions.filters.http.lua.v3';

export const UPLOAD_PATH = rpcPath('AddArtifacts');
const FILTER = 'upload_limit';

export function uploadLimitFilter(): HttpFilter {
  return optionalFilter(FILTER, typedStruct(`${LUA}.Lua`));
}

/** For the routes of `UPLOAD_PATH`. `maxMessageBytes`: what drivers accept. */
export function withUploadLimit(maxMessageBytes: number) {
  const value: JsonObject = { source_code: { inline_string: source(maxMessageBytes) } };
  return withFilter(FILTER, typedStruct(`${LUA}.LuaPerRoute`, value).value);
}

/** A prefix that comes in pieces is held back until it is whole, as it may have to be another one. */
function source(maxMessageBytes: number): string {
  return `
local DRIVERS = ${maxMessageBytes}
local NO_MESSAGE = "\\0\\0\\0\\0\\1\\255"
local NAME = "spark_gateway.upload"

function envoy_on_request(handle)
  local policy = handle:headers():get("${MESSAGE_LIMIT_HEADER}")
  handle:headers():remove("${MESSAGE_LIMIT_HEADER}")
  local limit = math.min(tonumber(policy) or DRIVERS, DRIVERS)
  -- Of the message that is under way; bytes of a prefix that the chunk before ended with; whether it is over.
  local left, held, refused = 0, "", false
  for chunk in handle:bodyChunks() do
    local whole = held ~= "" and held .. (chunk:length() > 0 and chunk:getBytes(0, chunk:length()) or "")
    local length = whole and #whole or chunk:length()
    local function part(at, count)
      if count == 0 then return "" end
      return whole and whole:sub(at + 1, at + count) or chunk:getBytes(at, count)
    end
    held = ""
    if refused then
      chunk:setBytes("")
    else
      local at = 0
      while at < length do
        if left > 0 then
          local step = math.min(left, length - at)
          left, at = left - step, at + step
        elseif length - at < 5 then
          held = part(at, length - at)
          break
        else
          local a, b, c, d = part(at + 1, 4):byte(1, 4)
          left = ((a * 256 + b) * 256 + c) * 256 + d
          if left > limit then
            refused = true
            break
          end
          at = at + 5
        end
      end
      if refused then
        local allowed = left > DRIVERS and "what drivers accept (" .. DRIVERS or "the policy allows (" .. limit
        local why = "A message of " .. left .. " bytes is larger than " .. allowed .. " bytes): send it in smaller parts."
        handle:streamInfo():dynamicMetadata():set(NAME, "refused", why)
        chunk:setBytes(part(0, at) .. NO_MESSAGE)
      elseif held ~= "" or whole then
        chunk:setBytes(part(0, at))
      end
    end
  end
end

local function tell(headers, why)
  headers:replace("grpc-status", "${GrpcStatus.RESOURCE_EXHAUSTED}")
  headers:replace("grpc-message", why)
  headers:remove("grpc-status-details-bin")
end

function envoy_on_response(handle)
  local found = handle:streamInfo():dynamicMetadata():get(NAME)
  local why = found and found["refused"]
  if not why then return end
  if handle:headers():get("grpc-status") then
    tell(handle:headers(), why)
    return
  end
  local trailers = handle:trailers()
  if trailers then tell(trailers, why) end
end
`;
}
