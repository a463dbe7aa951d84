-- SPDX-License-Identifier: Apache-2.0
-- Enumerations in progress. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

local ITEMS_MOST = 20000 -- of the 5,000 jobs that are listed, each with up to three instances
local MOST_ITEMS = 200000 -- of all callers; where others have used them up, a caller still has one enumeration

local STAGED_ITEMS_S = 60

-- Items from position `first` on; fields of the hash.
local function read_items(read, first)
    local fields = {}
    while read.more() do
        fields[#fields + 1] = text(first + #fields / 2)
        fields[#fields + 1] = read.text(ID_MOST)
    end
    if #fields > 2 * VALUES_A_CALL or first + #fields / 2 > ITEMS_MOST then
        error('too many items')
    end
    return fields
end

-- Items before the last VALUES_A_CALL. Nobody's, and uncounted, until context_open says whose they are.
function verbs.context_part(now, read)
    local id, first = read.take(1), read.number()
    if is_late(now, read.number()) then
        return { 'late' }
    end
    local items = read_items(read, first)
    local owner, staged = unpack(call('HMGET', key('context', id), 'owner', 'staged'))
    if owner or number(staged) < first then
        return { 'conflict', owner and 'it is open' or 'the parts before are gone' }
    elseif number(staged) == first then
        items[#items + 1], items[#items + 2] = 'staged', text(first + #items / 2)
        write_many('HSET', key('context', id), items)
        call('EXPIRE', key('context', id), STAGED_ITEMS_S)
    end
    return { 'ok' }
end

local function over_contexts(owner, limit, max_names, items)
    local opened = call('ZCARD', key('contexts', owner))
    if limit > 0 and opened >= limit then
        return 'contexts'
    elseif max_names > 0 and number(call('HGET', key('caller', owner), 'names')) + items > max_names then
        return 'names'
    elseif opened > 0 and number(call('HGET', TOTALS, 'items')) + items > MOST_ITEMS then
        return 'items'
    end
    return nil
end

local function note_context(now, owner, id, seconds, items)
    local index = key('contexts', owner)
    call('EXPIRE', key('context', id), text(seconds))
    call('ZADD', KEPT, text(now + seconds * 1000000), charge_of('c', id, owner, items, 0))
    count_charge('c', owner, items, 0, 1)
    call('ZADD', index, text(now + seconds * 1000000), id)
    call('EXPIRE', index, text(seconds), 'GT')
    if call('TTL', index) < 0 then
        call('EXPIRE', index, text(seconds))
    end
end

-- With its items, or with the last of them, behind those that context_part has brought.
function verbs.context_open(now, read)
    local owner, id = read.take(2)
    local seconds = read.number()
    local limit, max_names = read.limits()
    local fields, first = read.take(1), read.number()
    local hash = read_items(read, first)
    local items = first + #hash / 2
    call('ZREMRANGEBYSCORE', key('contexts', owner), '-inf', text(now))
    local opener, staged = unpack(call('HMGET', key('context', id), 'owner', 'staged'))
    if opener then
        return opener == owner and { 'ok', id } or { 'refused', 'taken' }
    elseif number(staged) ~= first then
        return { 'conflict', 'the parts before are gone' }
    end
    local given_back = give_back_expired(now, GIVEN_BACK_A_CALL)
    local limited = over_contexts(owner, limit, max_names, items)
    if limited then
        return given_back == GIVEN_BACK_A_CALL and AGAIN or { 'quota', limited }
    end
    for _, value in ipairs({ 'owner', owner, 'fields', fields, 'next', '0', 'items', text(items) }) do
        hash[#hash + 1] = value
    end
    write_many('HSET', key('context', id), hash)
    note_context(now, owner, id, seconds, text(items))
    return { 'ok', id }
end

local function end_context(owner, id, items)
    call('UNLINK', key('context', id))
    call('ZREM', key('contexts', owner), id)
    give_back(charge_of('c', id, owner, items, 0))
end

function verbs.context_pull(_, read)
    local owner, id = read.take(2)
    local count = math.min(read.number(), VALUES_A_CALL)
    local hash = key('context', id)
    local mine, fields, first, items = unpack(call('HMGET', hash, 'owner', 'fields', 'next', 'items'))
    if mine ~= owner then
        return { 'none' }
    end
    first, items = number(first), number(items)
    local after = math.min(items, first + count)
    local wanted = {}
    for position = first, after - 1 do
        wanted[#wanted + 1] = text(position)
    end
    local pulled = read_many(hash, wanted)
    if after >= items then
        end_context(owner, id, text(items))
    else
        call('HSET', hash, 'next', text(after))
    end
    return { 'ok', fields, after < items and '1' or '0', pulled }
end

function verbs.context_release(_, read)
    local owner, id = read.take(2)
    local mine, items = unpack(call('HMGET', key('context', id), 'owner', 'items'))
    if mine ~= owner then
        return { 'none' }
    end
    end_context(owner, id, items or 0)
    return { 'ok' }
end

end
