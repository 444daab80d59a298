-- Makes of a page's call in a session the call that a script would make: the token in the cookie
-- becomes the `Authorization` header, and the route is chosen anew.
--
-- Only the deployment's own pages can make such a call: they send a header that no form and no foreign
-- page can send, and the browser says that they are of this origin. Everywhere else cookies do nothing.
-- `control_plane/identity/session_cookie.py` sets them.

local SECURE_NAME = "%s"
local LOOPBACK_NAME = "%s"
local MARK = "%s"

local function value_of(cookies, name)
  for pair in cookies:gmatch("[^;]+") do
    local found, value = pair:match("^%%s*([^=]+)=([%%w_-]+)%%s*$")
    if found == name then
      return value
    end
  end
  return nil
end

-- Tells whether a host is this machine's own, as the browser calls it: a cookie without TLS that came
-- another way may be anybody's.
local function is_loopback(host)
  local name = host:gsub(":%%d+$", "")
  return name == "localhost" or name == "[::1]" or name:match("^127%%.%%d+%%.%%d+%%.%%d+$") ~= nil
    or name:match("%%.localhost$") ~= nil
end

local function token_of(headers)
  local cookies = headers:get("cookie")
  if cookies == nil then
    return nil
  end
  local token = value_of(cookies, SECURE_NAME)
  if token == nil and is_loopback(headers:get(":authority") or "") then
    token = value_of(cookies, LOOPBACK_NAME)
  end
  return token
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local token = token_of(headers)
  local own = headers:get("sec-fetch-site") == "same-origin"
  headers:remove("cookie")
  headers:remove(MARK)
  if token ~= nil and own and headers:get("authorization") == nil then
    headers:add("authorization", "Bearer " .. token)
  end
  handle:clearRouteCache()
end

-- What a session was told is not kept by the browser, for whoever uses it next.
function envoy_on_response(handle)
  handle:headers():replace("cache-control", "no-store")
end
