-- Gives a refusal by one of the planes the shape of all errors: {"error_code", "message"}.
--
-- The transcoder has already made {"code": N, "message": "…", "details": […]} of the gRPC status;
-- its message is an escaped JSON string and is moved over as it stands. `adapters/shared/rpc/status.py`
-- sends the error code and the HTTP status as trailing metadata; a status without them comes from
-- gRPC itself or from Envoy, and the tables below say what it means.

local HTTP_STATUS = "x-modelplane-http-status"
local ERROR_CODE = "x-modelplane-error-code"

local GRPC = {
  -- Nobody sees the answer to a call that they cancelled themselves: a server that is full says this.
  [1] = { 503, "TEMPORARILY_UNAVAILABLE" },
  [3] = { 400, "INVALID_PARAMETER_VALUE" },
  [4] = { 504, "DEADLINE_EXCEEDED" },
  [5] = { 404, "RESOURCE_DOES_NOT_EXIST" },
  [6] = { 409, "RESOURCE_ALREADY_EXISTS" },
  [7] = { 403, "PERMISSION_DENIED" },
  [8] = { 429, "RESOURCE_EXHAUSTED" },
  [9] = { 409, "RESOURCE_CONFLICT" },
  [10] = { 409, "RESOURCE_CONFLICT" },
  [11] = { 400, "INVALID_PARAMETER_VALUE" },
  [12] = { 501, "NOT_IMPLEMENTED" },
  [14] = { 503, "TEMPORARILY_UNAVAILABLE" },
  [16] = { 401, "UNAUTHENTICATED" },
}
local INTERNAL = { 500, "INTERNAL_ERROR" }
-- What grpc.aio says when a message cannot be read: through the transcoder, only text that is not
-- UTF-8, from an escape in the path or the query, can cause it.
local UNREADABLE = "google%.protobuf%.message%.DecodeError"

-- Texts that would tell the caller about the inside of the system.
local OWN_TEXT = {
  INTERNAL_ERROR = "The server failed unexpectedly.",
  TEMPORARILY_UNAVAILABLE = "The service is not available at the moment; try again.",
}

local SCIM_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"
local SCIM_TYPES = {
  BAD_REQUEST = "invalidSyntax",
  INVALID_PARAMETER_VALUE = "invalidValue",
  RESOURCE_ALREADY_EXISTS = "uniqueness",
}

-- What the codes of refusals that are not OAuth's own mean to its clients.
local OAUTH = {
  BAD_REQUEST = "invalid_request",
  INTERNAL_ERROR = "server_error",
  TEMPORARILY_UNAVAILABLE = "temporarily_unavailable",
}

-- Types of errors in OpenAI's API, as `data_plane/errors.py` has them.
local ERROR_TYPES = {
  ["401"] = "authentication_error",
  ["403"] = "permission_error",
  ["404"] = "not_found_error",
  ["429"] = "rate_limit_error",
}

local function error_type(http_status)
  return ERROR_TYPES[http_status]
    or (http_status >= "500" and "server_error" or "invalid_request_error")
end

-- Replaces the body; on the routes of SCIM, whose context says so, it also gets the members that
-- clients of SCIM read (RFC 7644, 3.12), and on those of OAuth only those of RFC 6749, 5.2.
local function answer(handle, http_status, error_code, message)
  local text = '{"error_code":"' .. error_code .. '","message":' .. message
  if handle:filterContext():get("oauth") then
    text = '{"error":"' .. (OAUTH[error_code] or error_code) .. '","error_description":' .. message
    if error_code == "invalid_client" then
      handle:headers():add("www-authenticate", "Basic")
    end
  elseif handle:filterContext():get("scim") then
    local kind = SCIM_TYPES[error_code]
    text = text .. ',"schemas":["' .. SCIM_SCHEMA .. '"],"status":"' .. http_status
      .. '","detail":' .. message .. (kind and ',"scimType":"' .. kind .. '"' or "")
  elseif handle:filterContext():get("inference") then
    text = text .. ',"error":{"message":' .. message .. ',"type":"' .. error_type(http_status)
      .. '","code":"' .. error_code .. '","param":null}'
  end
  handle:headers():replace("content-length", tostring(handle:body():setBytes(text .. "}")))
end

function envoy_on_response(handle)
  if handle:headers():get(":status") == "200" then
    return
  end
  local body = handle:body()
  if body == nil then
    return
  end
  local text = body:getBytes(0, body:length())
  local code, message = text:match('^{"code":(%d+),"message":(".*"),"details":%[')
  if code == nil then
    -- What Envoy refuses by itself has its shape already (`local_replies.py`).
    local own_code, own_message = text:match('^{"error_code":"([%u_]+)","message":(".*")}%s*$')
    if own_code then
      answer(handle, handle:headers():get(":status"), own_code, own_message)
    end
    return
  end
  -- A call that had sent its headers before it was refused says why in its trailers.
  local trailers = handle:trailers()
  -- Taken last: waiting for body and trailers ends the life of any other object.
  local headers = handle:headers()
  local error_code = headers:get(ERROR_CODE) or trailers and trailers:get(ERROR_CODE)
  local http_status = headers:get(HTTP_STATUS) or trailers and trailers:get(HTTP_STATUS)
  if error_code == nil or http_status == nil then
    local meaning = GRPC[tonumber(code)] or INTERNAL
    http_status, error_code = tostring(meaning[1]), meaning[2]
    if code == "2" and message:find(UNREADABLE) then
      http_status, error_code = "400", "BAD_REQUEST"
      message = '"The path or the query holds text that is not valid UTF-8."'
    elseif OWN_TEXT[error_code] then
      message = '"' .. OWN_TEXT[error_code] .. '"'
    end
  end
  if http_status == "503" and headers:get("retry-after") == nil then
    headers:add("retry-after", "1")
  end
  headers:replace(":status", http_status)
  headers:replace("content-type", "application/json")
  answer(handle, http_status, error_code, message)
end
