/* SPDX-License-Identifier: Apache-2.0 */
#include "functions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define FUNCTIONS_MOST 64
#define WORDS_MOST 8000

typedef struct {
    char name[64];
    int reference; /* of its callback, in Lua's registry */
    int writes;
} function_t;

struct functions_t {
    lua_State *lua;
    function_t all[FUNCTIONS_MOST];
    int count;

    /* Of the call that runs. */
    store_t *store;
    apr_pool_t *pool;
};

static functions_t *running;

/* ---- between Lua and replies --------------------------------------------------------------------------- */

static void push_reply(lua_State *lua, const reply_t *reply)
{
    switch (reply->kind) {
    case REPLY_NIL:
        lua_pushboolean(lua, 0);
        break;
    case REPLY_INTEGER:
        lua_pushnumber(lua, (lua_Number)reply->integer);
        break;
    case REPLY_TEXT:
        lua_pushlstring(lua, reply->text.bytes, reply->text.length);
        break;
    case REPLY_STATUS:
    case REPLY_ERROR:
        lua_createtable(lua, 0, 1);
        lua_pushlstring(lua, reply->text.bytes, reply->text.length);
        lua_setfield(lua, -2, reply->kind == REPLY_STATUS ? "ok" : "err");
        break;
    case REPLY_ARRAY:
        lua_createtable(lua, reply->count, 0);
        for (int i = 0; i < reply->count; i++) {
            push_reply(lua, &reply->items[i]);
            lua_rawseti(lua, -2, i + 1);
        }
        break;
    }
}

/* A copy in the pool of the call. */
static text_t text_at(lua_State *lua, int at, apr_pool_t *pool)
{
    size_t length = 0;
    const char *bytes = lua_tolstring(lua, at, &length);

    return (text_t){apr_pstrmemdup(pool, bytes != NULL ? bytes : "", length), length};
}

static int take_word_of(lua_State *lua, const char *field, reply_e kind, reply_t *reply, apr_pool_t *pool)
{
    int is_there;

    lua_getfield(lua, -1, field);
    is_there = lua_isstring(lua, -1);
    if (is_there) {
        *reply = (reply_t){.kind = kind, .text = text_at(lua, -1, pool)};
    }
    lua_pop(lua, 1);
    return is_there;
}

static reply_t take_reply(lua_State *lua, apr_pool_t *pool);

static reply_t take_table(lua_State *lua, apr_pool_t *pool)
{
    int most = (int)lua_objlen(lua, -1);
    reply_t reply = {.kind = REPLY_ARRAY};

    if (take_word_of(lua, "err", REPLY_ERROR, &reply, pool) ||
        take_word_of(lua, "ok", REPLY_STATUS, &reply, pool)) {
        return reply;
    }
    reply.items = apr_palloc(pool, sizeof(reply_t) * (size_t)(most + 1));
    for (int i = 1; i <= most; i++) {
        int is_end;

        lua_rawgeti(lua, -1, i);
        is_end = lua_isnil(lua, -1);
        if (!is_end) {
            reply.items[reply.count++] = take_reply(lua, pool);
        }
        lua_pop(lua, 1);
        if (is_end) {
            break;
        }
    }
    return reply;
}

/* What is on top of the stack, which stays. */
static reply_t take_reply(lua_State *lua, apr_pool_t *pool)
{
    switch (lua_type(lua, -1)) {
    case LUA_TSTRING:
        return (reply_t){.kind = REPLY_TEXT, .text = text_at(lua, -1, pool)};
    case LUA_TNUMBER:
        return (reply_t){.kind = REPLY_INTEGER, .integer = (long long)lua_tonumber(lua, -1)};
    case LUA_TBOOLEAN:
        return lua_toboolean(lua, -1) ? (reply_t){.kind = REPLY_INTEGER, .integer = 1}
                                      : (reply_t){.kind = REPLY_NIL};
    case LUA_TTABLE:
        return take_table(lua, pool);
    default:
        return (reply_t){.kind = REPLY_NIL};
    }
}

/* ---- the table "redis" --------------------------------------------------------------------------------- */

static reply_t run_words(int count, const text_t *words)
{
    static const char memory[] = "# Memory\r\nused_memory:1000000\r\nmaxmemory:0\r\n";

    if (count == 2 && strcmp(words[0].bytes, "INFO") == 0) {
        return (reply_t){.kind = REPLY_TEXT, .text = {memory, sizeof(memory) - 1}};
    }
    return store_run(running->store, count, words, running->pool);
}

/* The words stay Lua's: the store copies what it keeps. Numbers become text as Redis writes them. */
static reply_t run_call(lua_State *lua)
{
    int count = lua_gettop(lua);
    text_t *words = apr_palloc(running->pool, sizeof(text_t) * (size_t)(count + 1));

    for (int i = 0; i < count; i++) {
        if (lua_type(lua, i + 1) == LUA_TNUMBER) {
            char *text = apr_palloc(running->pool, 40);

            words[i] = (text_t){text, (size_t)snprintf(text, 40, "%.17g", lua_tonumber(lua, i + 1))};
            continue;
        }
        words[i].bytes = lua_tolstring(lua, i + 1, &words[i].length);
        if (words[i].bytes == NULL) {
            static const char wrong[] = "ERR Lua redis lib command arguments must be strings or integers";

            return (reply_t){.kind = REPLY_ERROR, .text = {wrong, sizeof(wrong) - 1}};
        }
    }
    return run_words(count, words);
}

static int redis_pcall(lua_State *lua)
{
    reply_t reply = run_call(lua);

    push_reply(lua, &reply);
    return 1;
}

static int redis_call(lua_State *lua)
{
    reply_t reply = run_call(lua);

    push_reply(lua, &reply);
    return reply.kind == REPLY_ERROR ? lua_error(lua) : 1;
}

static int redis_error_reply(lua_State *lua)
{
    lua_createtable(lua, 0, 1);
    lua_pushvalue(lua, 1);
    lua_setfield(lua, -2, "err");
    return 1;
}

static int has_flag(lua_State *lua, const char *flag)
{
    int has = 0;

    lua_getfield(lua, 1, "flags");
    lua_rawgeti(lua, -1, 1);
    has = lua_isstring(lua, -1) && strcmp(lua_tostring(lua, -1), flag) == 0;
    lua_pop(lua, 2);
    return has;
}

static int redis_register_function(lua_State *lua)
{
    function_t *function = &running->all[running->count];

    if (running->count == FUNCTIONS_MOST) {
        return luaL_error(lua, "too many functions");
    }
    running->count++;
    lua_getfield(lua, 1, "function_name");
    apr_cpystrn(function->name, lua_tostring(lua, -1), sizeof(function->name));
    lua_pop(lua, 1);
    function->writes = !has_flag(lua, "no-writes");
    lua_getfield(lua, 1, "callback");
    function->reference = luaL_ref(lua, LUA_REGISTRYINDEX);
    return 0;
}

static const luaL_Reg redis_table[] = {{"call", redis_call},
                                       {"pcall", redis_pcall},
                                       {"error_reply", redis_error_reply},
                                       {"register_function", redis_register_function},
                                       {NULL, NULL}};

/* ---- loading and calling ------------------------------------------------------------------------------- */

functions_t *functions_create(const char *library)
{
    functions_t *made = calloc(1, sizeof(*made));
    const char *body = strchr(library, '\n'); /* behind "#!lua name=amtunlock" */

    if (made == NULL || body == NULL || (made->lua = luaL_newstate()) == NULL) {
        fputs("simulate: no memory for Lua\n", stderr);
        exit(2);
    }
    running = made;
    luaL_openlibs(made->lua);
    luaL_register(made->lua, "redis", redis_table);
    lua_pop(made->lua, 1);
    if (luaL_loadbuffer(made->lua, body, strlen(body), "@user_function") != 0 ||
        lua_pcall(made->lua, 0, 0, 0) != 0) {
        fprintf(stderr, "simulate: jobs/lua cannot be loaded: %s\n", lua_tostring(made->lua, -1));
        exit(2);
    }
    return made;
}

static const function_t *find_function(const functions_t *functions, const char *name)
{
    for (int i = 0; i < functions->count; i++) {
        if (strcmp(functions->all[i].name, name) == 0) {
            return &functions->all[i];
        }
    }
    return NULL;
}

static void push_words(lua_State *lua, int first, int after, const text_t *words)
{
    lua_createtable(lua, after - first, 0);
    for (int i = first; i < after; i++) {
        lua_pushlstring(lua, words[i].bytes, words[i].length);
        lua_rawseti(lua, -2, i - first + 1);
    }
}

/* As Redis words what a function raised. */
static reply_t take_error(lua_State *lua, const char *name, apr_pool_t *pool)
{
    const char *text = NULL;
    reply_t raised;

    if (lua_istable(lua, -1) && take_word_of(lua, "err", REPLY_ERROR, &raised, pool)) {
        text = apr_psprintf(pool, "%s script: %s, on @user_function:1.", raised.text.bytes, name);
    }
    else {
        text = apr_psprintf(pool, "ERR %s script: %s, on @user_function:1.",
                            lua_isstring(lua, -1) ? lua_tostring(lua, -1) : "unknown", name);
    }
    return (reply_t){.kind = REPLY_ERROR, .text = {text, strlen(text)}};
}

static reply_t error_text(const char *text)
{
    return (reply_t){.kind = REPLY_ERROR, .text = {text, strlen(text)}};
}

reply_t functions_run(functions_t *functions, store_t *store, int count, const text_t *words, int writable,
                      apr_pool_t *pool)
{
    lua_State *lua = functions->lua;
    const function_t *function = count > 2 ? find_function(functions, words[1].bytes) : NULL;
    int keys = count > 2 ? (int)strtol(words[2].bytes, NULL, 10) : 0;
    reply_t reply;

    if (function == NULL || keys < 0 || keys > count - 3) {
        return error_text("ERR Function not found");
    }
    if (function->writes && !writable) {
        return error_text("MISCONF Errors writing to the AOF file: No space left on device");
    }
    running = functions;
    functions->store = store;
    functions->pool = pool;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, function->reference);
    push_words(lua, 3, 3 + keys, words);
    push_words(lua, 3 + keys, count, words);
    if (lua_pcall(lua, 2, 1, 0) != 0) {
        reply = take_error(lua, function->name, pool);
    }
    else {
        reply = take_reply(lua, pool);
    }
    lua_pop(lua, 1);
    return reply;
}
