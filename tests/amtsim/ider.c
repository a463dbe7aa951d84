#include "session.h"

static ssize_t message(struct session *session, const uint8_t *data, size_t size)
{
    (void)session;
    (void)data;
    (void)size;
    return -1;
}

static void heartbeat(struct session *session)
{
    (void)session;
}

static void ended(struct session *session)
{
    (void)session;
}

const struct session_kind ider_kind = {
    .name = "IDER",
    .opens = "ider-open",
    .closes = "ider-close",
    .enabled = REDIRECTION_IDER,
    .message = message,
    .heartbeat = heartbeat,
    .ended = ended,
};
