-- SPDX-License-Identifier: Apache-2.0
-- What a caller may unlock, asked again when a system is claimed. Part of the library that core.lua begins.

-- A job keeps what was granted to its caller, a line each: "GROUP SERVICE/DIGEST", where the directive of that digest, in
-- the configuration of that httpd, granted the group. Each httpd says which directives it has now. So a system that
-- moved to another group meanwhile, or whose directive is gone, is not unlocked. A line without a directive stands for
-- the group alone.
local SCOPES = '{amtu}:scopes'
local SERVICES_MOST = 256
local SCOPE_MOST = 65536 -- bytes of one httpd's digests

local function group_of_grant(grant)
    return grant:match('^%S*')
end

-- What a job keeps.
local function scope_of(grants)
    return table.concat(grants, '\n')
end

-- True if that httpd has this directive, or has not said which it has.
local function has_directive(claim, service, digest)
    if service == '' then
        return true
    end
    if claim.scopes[service] == nil then
        claim.scopes[service] = call('HGET', SCOPES, service)
    end
    local published = claim.scopes[service]
    return not published or published:find(' ' .. digest, 1, true) ~= nil
end

-- A job without this field is of an older library.
local function scope_holds(claim, id, system)
    local scope = call('HGET', key('job', id), 'scope')
    local group = (call('HGET', claim.inventory, 's:' .. system) or ''):match('^[^|]*')
    for grant in (scope or '*'):gmatch('[^\n]+') do
        local granted, service, digest = grant:match('^(%S+) ?([^/%s]*)/?(%x*)$')
        if (granted == '*' or granted == group) and has_directive(claim, service, digest) then
            return true
        end
    end
    return false
end

-- An httpd's directives as of the time that it read its configuration; an older reading does not replace a newer one. One
-- of the future is of a clock that has been set back since.
function verbs.scopes(now, read)
    local service, version, digests = read.take(1), read.number(), {}
    while read.more() do
        digests[#digests + 1] = read.take(1)
    end
    local published = text(version) .. ' ' .. table.concat(digests, ' ')
    if #service > 64 or #published > SCOPE_MOST then
        return { 'refused', 'too many scopes' }
    end
    local before = call('HGET', SCOPES, service)
    local written = number((before or '0'):match('^%d+'))
    if written > version and written <= now then
        return { 'already' }
    end
    call('HSET', SCOPES, service, published)
    return { 'ok' }
end

-- For the worker: httpd's user may not remove what other httpds have said.
local function bound_scopes()
    if call('HLEN', SCOPES) > SERVICES_MOST then
        call('DEL', SCOPES) -- of hosts that are long gone; those that are there say it again when they start a child
    end
end

-- ---- what was denied -------------------------------------------------------------------------------------------

-- Names of systems that are there, and that the caller may not unlock. To the caller they look like unknown ones; the
-- record of a worker gets them, in a list until one fetches them.
local DENIED = '{amtu}:denied'
local DENIED_MOST, DENIED_A_CALL, DENIED_NAMES = 1000, 20, 10
local DENIED_BYTES = 4096 -- of an entry, which httpd's user writes

-- Adds those of the names that were marked as denied.
local function add_denied(found, names)
    for _, name in ipairs(names) do
        if name.denied then
            found.denied = found.denied + 1
            if found.denied <= DENIED_NAMES then
                found.names_denied = found.names_denied .. ' ' .. name.key:sub(1, 255)
            end
        end
    end
end

-- "COUNT NAME NAME ..."; '' if there is none, nil if nothing can be denied.
local function note_denied(now, s, found)
    if s.groups['*'] then
        return nil
    end
    local denied = found.denied > 0 and found.denied .. found.names_denied or ''
    if denied ~= '' then
        tally('denied')
        if call('LLEN', DENIED) < DENIED_MOST then
            call('RPUSH', DENIED, table.concat({ text(now), s.id, s.mechanism, s.peer, s.caller, denied }, '\n'))
        end
    end
    return denied
end

function verbs.denied(_, _)
    local entries = {}
    local entry = call('LPOP', DENIED)
    while entry do
        entries[#entries + 1] = entry:sub(1, DENIED_BYTES)
        entry = #entries < DENIED_A_CALL and call('LPOP', DENIED)
    end
    return { 'ok', entries }
end

