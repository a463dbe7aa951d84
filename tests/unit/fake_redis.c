/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_redis.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

static void note(fake_redis_t *fake, const redisReply *command)
{
    char *text = fake->commands[fake->command_count % FAKE_COMMANDS];
    const size_t room = sizeof(fake->commands[0]);
    size_t length = 0;

    for (size_t i = 0; i < command->elements && length < room - 1; i++) {
        int added = snprintf(text + length, room - length, "%s%s", i ? " " : "", command->element[i]->str);
        length += (size_t)added;
    }
    fake->command_count++;
}

/* The next whole command, or NULL when the client left. */
static redisReply *next_command(redisReader *reader, int fd)
{
    char bytes[4096];
    void *command = NULL;

    while (redisReaderGetReply(reader, &command) == REDIS_OK && !command) {
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got <= 0)
            return NULL;
        redisReaderFeed(reader, bytes, (size_t)got);
    }
    return command;
}

static void serve(fake_redis_t *fake, int fd, const char *const *replies)
{
    redisReader *reader = redisReaderCreate();
    redisReply *command = NULL;

    for (int i = 0; i <= FAKE_REPLIES && (command = next_command(reader, fd)); i++) {
        const char *reply = NULL;
        note(fake, command);
        freeReplyObject(command);
        reply = i < FAKE_REPLIES ? replies[i] : NULL;
        if (fake->command_count == fake->slow_command)
            poll(NULL, 0, fake->slow_ms);
        if (!reply || write(fd, reply, strlen(reply)) < 0)
            break;
        if (fake->command_count == fake->deaf_after) { /* until the client leaves */
            struct pollfd left = {.fd = fd, .events = POLLRDHUP};
            poll(&left, 1, 10000);
            break;
        }
    }
    redisReaderFree(reader);
}

static void *run(void *data)
{
    fake_redis_t *fake = data;

    for (;;) {
        int fd = accept(fake->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (fake->connection_count < FAKE_CONNECTIONS)
            serve(fake, fd, fake->replies[fake->connection_count]);
        fake->connection_count++;
        close(fd);
    }
}

int fake_redis_start(fake_redis_t *fake)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(fake->folder, sizeof(fake->folder), "/tmp/amtunlock-fake-XXXXXX");
    if (!mkdtemp(fake->folder)) {
        perror(fake->folder);
        return -1;
    }
    snprintf(fake->socket, sizeof(fake->socket), "%s/redis.sock", fake->folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->socket);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fake->listener < 0 || bind(fake->listener, (const struct sockaddr *)&address, sizeof(address)) ||
        listen(fake->listener, 8) || pthread_create(&fake->thread, NULL, run, fake)) {
        perror(fake->socket);
        return -1;
    }
    return 0;
}

void fake_redis_stop(fake_redis_t *fake)
{
    shutdown(fake->listener, SHUT_RDWR); /* accept() gives up */
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    unlink(fake->socket);
    rmdir(fake->folder);
}
