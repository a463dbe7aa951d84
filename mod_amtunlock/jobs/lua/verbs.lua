-- SPDX-License-Identifier: Apache-2.0
-- Registers the verbs with Redis.

-- Name of the function in Redis (whose key ACL files hold, and so does not change), flag, and the verb if it has
-- another name. A function is called with one key, {amtu}:verb:NAME, under which nothing is kept: Redis' ACL knows no
-- functions, but knows by their keys which of them a user may call. So no function may run without its own key.
-- A verb that ends, hands over or keeps what was begun must work in a full Redis too, and so must all that a worker
-- needs to go on, such as its inventory: allow-oom. What begins something new is refused there.
local VERBS = {
    { 'submit' },
    { 'submit_part' },
    { 'read', 'no-writes' },
    { 'read_page', 'no-writes' },
    { 'results', 'no-writes' },
    { 'errors', 'no-writes' },
    { 'list', 'no-writes' },
    { 'cancel', 'allow-oom' },
    { 'forget', 'allow-oom' },
    { 'context_open' },
    { 'context_part' },
    { 'context_pull', 'allow-oom' },
    { 'context_release', 'allow-oom' },
    { 'overview', 'no-writes' },
    { 'scopes', 'allow-oom' },
    { 'denied', 'allow-oom' },
    { 'claim', 'allow-oom' },
    { 'renew', 'allow-oom' },
    { 'intend', 'allow-oom' },
    { 'mark', 'allow-oom' },
    { 'ramp', 'allow-oom', 'power_rate' },
    { 'progress', 'allow-oom' },
    { 'finish', 'allow-oom' },
    { 'release', 'allow-oom' },
    { 'reap', 'allow-oom' },
    { 'reassert', 'allow-oom', 'restore_intent' },
    { 'attest', 'allow-oom', 'restore_result' },
    { 'publish_chunk', 'allow-oom' },
    { 'publish_switch', 'allow-oom' },
}

local function is_own_key(keys, name)
    return #keys == 1 and keys[1] == '{amtu}:verb:' .. name
end

for i = 1, #VERBS do -- pairs() does not exist yet while the library loads
    local name, flag = VERBS[i][1], VERBS[i][2]
    local verb = VERBS[i][3] or name
    redis.register_function({
        function_name = 'amtunlock_' .. name,
        flags = { flag },
        callback = function(keys, args)
            if args[1] ~= SCHEMA then
                return { 'outdated', SCHEMA }
            end
            if not is_own_key(keys, name) then
                return redis.error_reply('NOPERM amtunlock_' .. name .. ' is called with one key, {amtu}:verb:' .. name)
            end
            local time = call('TIME')
            return verbs[verb](time[1] * 1000000 + time[2], reader(args))
        end,
    })
end

redis.register_function({
    function_name = 'amtunlock_schema',
    flags = { 'no-writes' },
    callback = function()
        return { 'ok', SCHEMA }
    end,
})
