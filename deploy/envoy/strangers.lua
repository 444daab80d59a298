-- Who you are comes before what you send: before Envoy or a plane holds a large body, the plane is
-- asked, by the headers alone, whether it knows the caller.
--
-- And strangers have a share of their own of the control plane: logins, and calls without a credential
-- that it has lately accepted, pass at a bounded rate. So a flood of them costs those who are known
-- nothing. `filters.py` enables this where it belongs.

local NO_TOKEN = "%s"
-- Bodies up to this size cost no more than the connection that brings them.
local SMALL_BYTES = %d
local ASK_MS = 10000
-- For as long an accepted credential is not asked about again; and how many are remembered, of which
-- length at most.
local KNOWN_MS = 60000
local MOST_KNOWN = 4096
local LONGEST_KNOWN = 4096
-- Of each thread of Envoy.
local STRANGERS_PER_SECOND = %d
local STRANGERS_AT_ONCE = %d

local EMPTY_MESSAGE = "\0\0\0\0\0"
-- Calls over gRPC that read next to nothing, of each plane, and what they say of an unknown caller.
local WORKERS = { "workers", "/modelserving.v1.InferenceService/ListModels" }
local CONTROL_PLANE = { "control_plane", "/modelserving.v1.IdentityService/GetMe" }
local UNAUTHENTICATED = "16"

local NAME = "modelplane.strangers"
local known, count = {}, 0
local room, since = STRANGERS_AT_ONCE, 0

local function is_known(credential, now)
  local when = known[credential]
  return when ~= nil and now - when < KNOWN_MS
end

local function remember(credential, now)
  if #credential > LONGEST_KNOWN then
    return
  end
  if known[credential] == nil then
    if count >= MOST_KNOWN then
      known, count = {}, 0
    end
    count = count + 1
  end
  known[credential] = now
end

-- Tells whether one more stranger may pass, and counts it.
local function has_room(now)
  room = math.min(STRANGERS_AT_ONCE, room + (now - since) * STRANGERS_PER_SECOND / 1000)
  since = now
  if room < 1 then
    return false
  end
  room = room - 1
  return true
end

-- Tells whether a request may bring a body that is not small: also one that does not say how long its
-- body is, as Envoy tells nothing else of it here.
local function may_be_large(handle)
  local length = handle:headers():get("content-length")
  return length == nil or (tonumber(length) or 0) > SMALL_BYTES
end

-- Asks a plane about a credential; refuses the request unless it is known.
local function ask(handle, plane, credential, now)
  local told = handle:httpCall(plane[1], {
    [":method"] = "POST",
    [":path"] = plane[2],
    [":authority"] = "modelplane",
    ["content-type"] = "application/grpc",
    ["te"] = "trailers",
    ["authorization"] = credential,
  }, EMPTY_MESSAGE, ASK_MS)
  local status = told["grpc-status"]
  if told[":status"] ~= "200" then
    handle:respond({ [":status"] = "503" }, "")
  elseif status == UNAUTHENTICATED then
    local message = (told["grpc-message"] or ""):gsub("%%(%%x%%x)", function(digits)
      return string.char(tonumber(digits, 16))
    end)
    handle:respond({ [":status"] = "401" }, message)
  elseif status == nil or status == "0" then
    remember(credential, now)
  end
  -- Whatever else is wrong, the plane that gets the request says.
end

function envoy_on_request(handle)
  -- None: a query in a session, whose second route is one that has no such filter.
  local kind = handle:filterContext():get("kind") or "query"
  local credential = handle:headers():get("authorization")
  local now = handle:timestamp()
  if credential and kind ~= "login" and is_known(credential, now) then
    return
  end
  -- The body of a login is small, and holds the credential; one over gRPC the plane reads by itself.
  local held = kind ~= "login" and kind ~= "grpc" and may_be_large(handle)
  if held and credential == nil then
    handle:respond({ [":status"] = "401" }, NO_TOKEN)
    return
  elseif kind ~= "query" and not has_room(now) then
    handle:respond({ [":status"] = "429" }, "")
    return
  end
  if credential and kind ~= "login" then
    handle:streamInfo():dynamicMetadata():set(NAME, "credential", credential)
  end
  if held then
    ask(handle, kind == "query" and WORKERS or CONTROL_PLANE, credential, now)
  end
end

function envoy_on_response(handle)
  local found = handle:streamInfo():dynamicMetadata():get(NAME)
  if found == nil then
    return
  end
  local headers = handle:headers()
  local status = headers:get("grpc-status")
  if headers:get(":status"):sub(1, 1) == "2" and (status == nil or status == "0") then
    remember(found["credential"], handle:timestamp())
  end
end
