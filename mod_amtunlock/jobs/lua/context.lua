-- SPDX-License-Identifier: Apache-2.0
-- Enumerations in progress. Part of the library that core.lua begins.
do -- names of its own: Lua allows 200 in one block

local ITEMS_MOST = 4 * LISTED_A_CALL -- a job has up to three instances
local MOST_ITEMS = 200000 -- of all callers; where others have used them up, a caller still has one enumeration

function verbs.context_open(now, read)
    local owner, id = read.take(2)
    local seconds = read.number()
    local limit, max_names = read.limits()
    local fields = read.take(1)
    local index = key('contexts', owner)
    call('ZREMRANGEBYSCORE', index, '-inf', text(now))
    if call('EXISTS', key('context', id)) == 1 then
        return call('HGET', key('context', id), 'owner') == owner and { 'ok', id } or { 'refused', 'taken' }
    end
    local opened = call('ZCARD', index)
    if limit > 0 and opened >= limit then
        return { 'quota', 'contexts' }
    end
    local hash = { 'owner', owner, 'fields', fields, 'next', '0' }
    local items = 0
    while read.more() and items < ITEMS_MOST do
        hash[#hash + 1] = text(items)
        hash[#hash + 1] = read.text(ID_MOST)
        items = items + 1
    end
    give_back_expired(now, GIVEN_BACK_A_CALL)
    if max_names > 0 and number(call('HGET', key('caller', owner), 'names')) + items > max_names then
        return { 'quota', 'names' }
    elseif opened > 0 and number(call('HGET', TOTALS, 'items')) + items > MOST_ITEMS then
        return { 'quota', 'items' }
    end
    write_many('HSET', key('context', id), hash)
    call('HSET', key('context', id), 'items', items)
    call('EXPIRE', key('context', id), text(seconds))
    call('ZADD', KEPT, text(now + seconds * 1000000), charge_of('c', id, owner, items, 0))
    count_charge('c', owner, items, 0, 1)
    call('ZADD', index, text(now + seconds * 1000000), id)
    call('EXPIRE', index, text(seconds), 'GT')
    if call('TTL', index) < 0 then
        call('EXPIRE', index, text(seconds))
    end
    return { 'ok', id }
end

local function end_context(owner, id, items)
    call('UNLINK', key('context', id))
    call('ZREM', key('contexts', owner), id)
    give_back(charge_of('c', id, owner, items, 0))
end

function verbs.context_pull(_, read)
    local owner, id = read.take(2)
    local count = read.number()
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
