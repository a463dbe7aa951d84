/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_server.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#define START_WITHIN_MS 5000

static FILE *open_in(const redis_server_t *server, const char *name, const char *mode)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", server->folder, name);
    return fopen(path, mode);
}

/* The shipped configuration, but for the places that only an installation has. */
static int write_configuration(const redis_server_t *server)
{
    char line[512];
    FILE *from = fopen("conf/redis.conf", "r");
    FILE *to = open_in(server, "redis.conf", "w");
    if (!from || !to) {
        perror("conf/redis.conf: the tests run from the top of the source tree");
        return -1;
    }
    while (fgets(line, sizeof(line), from)) {
        if (strncmp(line, "dir ", 4) != 0 && strncmp(line, "aclfile ", 8) != 0 &&
            strncmp(line, "unixsocket ", 11) != 0)
            fputs(line, to);
    }
    fprintf(to, "dir %s\naclfile %s/users.acl\nunixsocket %s\n", server->folder, server->folder,
            server->socket);
    fclose(from);
    return fclose(to);
}

/* The shipped users, each with its name as password, and one that may do everything. */
static int write_users(const redis_server_t *server)
{
    char line[8192];
    char user[64];
    FILE *from = fopen("conf/redis-users.acl", "r");
    FILE *to = open_in(server, "users.acl", "w");
    if (!from || !to) {
        perror("conf/redis-users.acl");
        return -1;
    }
    while (fgets(line, sizeof(line), from)) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "user %63s on", user) == 1 && strcmp(user, "default") != 0)
            fprintf(to, "%s >%s\n", line, user);
        else
            fprintf(to, "%s\n", line);
    }
    fputs("user tester on >tester ~* &* +@all\n", to);
    fclose(from);
    return fclose(to);
}

/* Reachable, and done with reading its data. */
static int is_ready(const redis_server_t *server)
{
    const struct timeval patience = {.tv_sec = 1};
    redisReply *reply = NULL;
    redisContext *context = redisConnectUnixWithTimeout(server->socket, patience);
    if (context && !context->err) {
        freeReplyObject(redisCommand(context, "AUTH tester tester"));
        reply = redisCommand(context, "PING");
    }
    int ready = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    redisFree(context);
    return ready;
}

static void become_redis(const redis_server_t *server)
{
    char configuration[128];
    char log[128];
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves no Redis behind */
    snprintf(configuration, sizeof(configuration), "%s/redis.conf", server->folder);
    snprintf(log, sizeof(log), "%s/redis.log", server->folder);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    execlp("redis-server", "redis-server", configuration, (char *)NULL);
    perror("redis-server");
    _exit(127);
}

int redis_server_restart(redis_server_t *server)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    unlink(server->socket);
    server->pid = fork();
    if (server->pid == 0)
        become_redis(server);
    for (int ms = 0; server->pid > 0 && ms < START_WITHIN_MS; ms += 5) {
        if (is_ready(server))
            return 0;
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            break;
        }
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "redis-server did not start: see %s/redis.log\n", server->folder);
    return -1;
}

static void name_user(const redis_server_t *server, jobs_redis_t *redis, const char *user)
{
    *redis = (jobs_redis_t){.socket = server->socket, .user = user, .password = user};
}

int redis_server_start(redis_server_t *server)
{
    memset(server, 0, sizeof(*server));
    signal(SIGPIPE, SIG_IGN);
    snprintf(server->folder, sizeof(server->folder), "/tmp/amtunlock-redis-XXXXXX");
    if (!mkdtemp(server->folder)) {
        perror(server->folder);
        return -1;
    }
    snprintf(server->socket, sizeof(server->socket), "%s/redis.sock", server->folder);
    name_user(server, &server->web, "amtunlock-web");
    name_user(server, &server->worker, "amtunlockd");
    name_user(server, &server->tester, "tester");
    if (write_configuration(server) || write_users(server))
        return -1;
    return redis_server_restart(server);
}

/* One command as the user who may do everything. 0 if Redis did not answer with an error. */
int redis_server_do(redis_server_t *server, int count, const char **words)
{
    const struct timeval patience = {.tv_sec = 5};
    redisContext *context = redisConnectUnixWithTimeout(server->socket, patience);
    if (!context || context->err) {
        redisFree(context);
        return -1;
    }
    redisSetTimeout(context, patience);
    freeReplyObject(redisCommand(context, "AUTH tester tester"));
    redisReply *reply = redisCommandArgv(context, count, words, NULL);
    int done = reply && reply->type != REDIS_REPLY_ERROR ? 0 : -1;
    if (done != 0)
        fprintf(stderr, "%s: %s\n", words[0], reply ? reply->str : context->errstr);
    freeReplyObject(reply);
    redisFree(context);
    return done;
}

int redis_server_flush(redis_server_t *server)
{
    const char *data[] = {"FLUSHALL"};
    const char *functions[] = {"FUNCTION", "FLUSH"};
    return redis_server_do(server, 1, data) || redis_server_do(server, 2, functions) ? -1 : 0;
}

void redis_server_kill(redis_server_t *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

static void remove_folder(const char *folder)
{
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", "--", folder, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

void redis_server_remove(redis_server_t *server)
{
    redis_server_kill(server);
    if (server->folder[0])
        remove_folder(server->folder);
}
