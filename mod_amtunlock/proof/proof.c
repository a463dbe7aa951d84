/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the dialogue: a table of what each kind of frame means in each state. */
#include "proof/proof.h"

#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/digest.h"
#include "proof/frame_priv.h"
#include "proof/keys_priv.h"
#include "proof/sector_priv.h"

#define SYSTEM_ID_MAX 253
#define JOB_MAX 128
#define FENCE_MAX 20
#define REASON_MAX 64
#define TEXT_MAX 200
#define FIELDS 3      /* of every kind that an image sends, behind version and kind */
#define MAC 2         /* the last of them */
#define HEX_DIGITS 64 /* of PROOF_BYTES */

#define QUOTE(text) #text
#define QUOTED(number) QUOTE(number)

typedef enum { WAITING, GREETED, SEALED, ANSWERED, ENDED, STATES } state_e;
typedef enum { HELLO, RESULT, REFUSAL, KINDS } kind_e;

/* The part that is secret, in the secure heap. */
typedef struct {
    unsigned char s[PROOF_BYTES];
    proof_keys_t keys;
} hidden_t;

struct proof_session_t {
    apr_pool_t *pool;
    const char *system_id;
    state_e state;
    hidden_t *hidden; /* NULL once they are of no more use */
    unsigned char image_nonce[PROOF_BYTES], image_key[PROOF_BYTES];
    unsigned char transcript[PROOF_BYTES];
    unsigned char acknowledged[PROOF_BYTES]; /* MAC of the frame that is acknowledged */
    const char *acknowledgement;
    char text[TEXT_MAX];
    frame_reader_t reader;
};

/* What a frame carries: bytes where its kind has bytes, a word where it has a word. */
typedef struct {
    unsigned char bytes[FIELDS][PROOF_BYTES];
    const char *words[FIELDS];
} message_t;

typedef proof_event_e(handler_fn)(proof_session_t *session, const message_t *message);

/* ---- beginning and end --------------------------------------------------------------------------------- */

static void session_wipe(proof_session_t *session)
{
    OPENSSL_secure_clear_free(session->hidden, sizeof(*session->hidden));
    session->hidden = NULL;
}

void proof_session_end(proof_session_t *session)
{
    session_wipe(session);
    session->state = ENDED;
}

static apr_status_t session_cleanup(void *data)
{
    session_wipe(data);
    return APR_SUCCESS;
}

/* 1 to `most` characters, all of them among `characters`. */
static int is_name(const char *text, const char *characters, size_t most)
{
    size_t length = strlen(text);

    return length >= 1 && length <= most && strspn(text, characters) == length;
}

/* NULL, or what is wrong with it. */
static const char *check_boot(const proof_boot_t *boot)
{
    if (!is_name(boot->system, "abcdefghijklmnopqrstuvwxyz0123456789.-", SYSTEM_ID_MAX)) {
        return "the system's name is not an FQDN in lower case of at most 253 characters";
    }
    if (strlen(boot->job) < 1 || strlen(boot->job) > JOB_MAX ||
        !is_name(boot->fence, "0123456789", FENCE_MAX)) {
        return "the job's name or the fence of the boot is not one of this service";
    }
    return NULL;
}

/* Each name with its length, so that no two boots make the same words. */
static int derive_session_secret(hidden_t *hidden, const proof_key_t *key, const proof_boot_t *boot)
{
    proof_words_t words = {.length = 0};
    int good;

    proof_words_add_name(&words, "amtunlock-proof-1 secret");
    proof_words_add_name(&words, boot->job);
    proof_words_add_name(&words, boot->system);
    proof_words_add_name(&words, boot->fence);
    ERR_set_mark();
    good = proof_derive_secret(key, &words, hidden->s);
    ERR_pop_to_mark();
    return good;
}

const char *proof_session_create(proof_session_t **session, const proof_key_t *key, const proof_boot_t *boot,
                                 apr_pool_t *pool)
{
    const char *error = check_boot(boot);
    proof_session_t *made;

    *session = NULL;
    if (error != NULL || key == NULL) {
        return error != NULL ? error : "this worker has no proof key";
    }
    made = apr_pcalloc(pool, sizeof(*made));
    made->pool = pool;
    made->system_id = apr_pstrdup(pool, boot->system);
    made->hidden = OPENSSL_secure_zalloc(sizeof(*made->hidden));
    apr_pool_cleanup_register(pool, made, session_cleanup, apr_pool_cleanup_null);
    if (made->hidden == NULL || !derive_session_secret(made->hidden, key, boot)) {
        return "no memory for secrets is left, or OpenSSL could not derive them";
    }
    *session = made;
    return NULL;
}

int proof_sector(const proof_session_t *session, unsigned char sector[PROOF_SECTOR])
{
    if (session->hidden == NULL || session->state != WAITING ||
        !sector_write(sector, session->hidden->s, session->system_id)) {
        memset(sector, 0, PROOF_SECTOR); /* no image says hello to that */
        return 0;
    }
    return 1;
}

/* The final state: the secrets are gone. */
static proof_event_e session_break(proof_session_t *session, const char *text)
{
    apr_cpystrn(session->text, text, sizeof(session->text));
    proof_session_end(session);
    return PROOF_BROKEN;
}

const char *proof_text(const proof_session_t *session)
{
    return session->text;
}

/* ---- MACs ---------------------------------------------------------------------------------------------- */

/* MAC_UNKNOWN: OpenSSL has no memory to compute it. */
typedef enum { MAC_WRONG, MAC_RIGHT, MAC_UNKNOWN } mac_e;

static mac_e check_mac(const unsigned char *key, const proof_words_t *words, const message_t *message)
{
    unsigned char mac[PROOF_BYTES];

    if (!proof_mac(key, words, mac)) {
        return MAC_UNKNOWN;
    }
    return CRYPTO_memcmp(mac, message->bytes[MAC], PROOF_BYTES) == 0 ? MAC_RIGHT : MAC_WRONG;
}

static mac_e check_hello(const proof_session_t *session, const message_t *message)
{
    proof_words_t words;

    proof_words_begin(&words, "amtunlock-proof-1 hello");
    proof_words_add_name(&words, session->system_id);
    proof_words_add(&words, message->bytes[0], PROOF_BYTES);
    proof_words_add(&words, message->bytes[1], PROOF_BYTES);
    return check_mac(session->hidden->s, &words, message);
}

static mac_e check_refusal(const proof_session_t *session, const message_t *message)
{
    proof_words_t words;

    proof_words_begin(&words, "amtunlock-proof-1 refusal");
    proof_words_add_name(&words, session->system_id);
    proof_words_add(&words, message->bytes[0], PROOF_BYTES);
    proof_words_add(&words, message->words[1], strlen(message->words[1]));
    return check_mac(session->hidden->s, &words, message);
}

static mac_e check_result(const proof_session_t *session, const message_t *message)
{
    proof_words_t words;

    proof_words_begin(&words, "amtunlock-proof-1 result");
    proof_words_add(&words, session->transcript, PROOF_BYTES);
    proof_words_add(&words, message->words[0], strlen(message->words[0]));
    proof_words_add(&words, ",", 1);
    proof_words_add(&words, message->words[1], strlen(message->words[1]));
    return check_mac(session->hidden->keys.result, &words, message);
}

/* ---- what a frame means, by state ---------------------------------------------------------------------- */

static const char forged[] =
    "the PC says what only an image served by this session could, with a wrong proof: it "
    "was booted from something else, or from an older session";

/* A frame that could not be checked counts as damaged on the way: the image repeats it. */
static proof_event_e session_distrust(proof_session_t *session, mac_e mac)
{
    return mac == MAC_UNKNOWN ? PROOF_NONE : session_break(session, forged);
}

/* Before the seal the latest hello counts: a PC may boot twice before its image runs. */
static proof_event_e on_hello(proof_session_t *session, const message_t *message)
{
    proof_event_e event = session->state == WAITING ? PROOF_HELLO : PROOF_NONE;
    mac_e mac = check_hello(session, message);

    if (mac != MAC_RIGHT) {
        return session_distrust(session, mac);
    }
    memcpy(session->image_nonce, message->bytes[0], PROOF_BYTES);
    memcpy(session->image_key, message->bytes[1], PROOF_BYTES);
    session->state = GREETED;
    return event;
}

static proof_event_e on_hello_again(proof_session_t *session, const message_t *message)
{
    mac_e mac = check_hello(session, message);

    if (mac != MAC_RIGHT) {
        return session_distrust(session, mac);
    }
    if (memcmp(message->bytes[0], session->image_nonce, PROOF_BYTES) != 0 ||
        memcmp(message->bytes[1], session->image_key, PROOF_BYTES) != 0) {
        return session_break(session, "the image started anew after it had been given the passphrase");
    }
    return PROOF_NONE;
}

static proof_event_e on_result_too_early(proof_session_t *session, const message_t *message)
{
    (void)message;
    return session_break(session, "the PC gave a result before it was given a passphrase");
}

static const char no_acknowledgement[] = "OpenSSL could not make an acknowledgement";

/* The acknowledgement is made at once, so that the secrets can be wiped. */
static proof_event_e session_answered(proof_session_t *session, const message_t *message, proof_event_e event)
{
    unsigned char mac[PROOF_BYTES];
    char digits[HEX_DIGITS + 1];
    proof_words_t words;

    proof_words_begin(&words, "amtunlock-proof-1 ack");
    proof_words_add(&words, message->bytes[MAC], PROOF_BYTES);
    if (!proof_mac(session->hidden->s, &words, mac)) {
        return session_break(session, no_acknowledgement);
    }
    digest_write_hex(digits, mac, PROOF_BYTES);
    session->acknowledgement = frame_write(apr_pstrcat(session->pool, "1,ack,", digits, NULL), session->pool);
    if (session->acknowledgement == NULL) {
        return session_break(session, no_acknowledgement);
    }
    memcpy(session->acknowledged, message->bytes[MAC], PROOF_BYTES);
    session->state = ANSWERED;
    session_wipe(session);
    return event;
}

static void explain_reason(proof_session_t *session, const char *reason)
{
    static const struct {
        const char *word, *text;
    } known[] = {
        {"no-disk", "the image found no encrypted disk"},
        {"unsupported-disk", "the image cannot unlock this kind of disk"},
        {"no-system", "the disk is open, but no system on it can be started in memory"},
        {"disk-error", "the disk does not read or answer"},
        {"locked-out", "the disk takes no more tries before its power was off"},
        {"time-out", "the disk took too long to answer the image"},
        {"internal", "the image failed in itself"},
        {"no-seal", "the image got no passphrase in time"},
        {"seal-damaged", "the passphrase reached the image damaged"},
        {"seal-invalid", "the image could not open the sealed passphrase"},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(reason, known[i].word) == 0) {
            apr_cpystrn(session->text, known[i].text, sizeof(session->text));
            return;
        }
    }
    apr_snprintf(session->text, sizeof(session->text), "the image gave as its reason: %s", reason);
}

static proof_event_e on_refusal(proof_session_t *session, const message_t *message)
{
    mac_e mac = check_refusal(session, message);

    if (mac != MAC_RIGHT) {
        return session_distrust(session, mac);
    }
    explain_reason(session, message->words[1]);
    return session_answered(session, message, PROOF_RESULT_FAILED);
}

static proof_event_e on_result(proof_session_t *session, const message_t *message)
{
    static const struct {
        const char *outcome;
        int has_reason;
        proof_event_e event;
    } outcomes[] = {
        {"unlocked", 0, PROOF_RESULT_UNLOCKED},
        {"wrong-passphrase", 0, PROOF_RESULT_WRONG},
        {"failed", 1, PROOF_RESULT_FAILED},
    };
    mac_e mac = check_result(session, message);

    if (mac != MAC_RIGHT) {
        return session_distrust(session, mac);
    }
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        if (strcmp(message->words[0], outcomes[i].outcome) == 0 &&
            (outcomes[i].has_reason || strcmp(message->words[1], "none") == 0)) {
            if (outcomes[i].has_reason) {
                explain_reason(session, message->words[1]);
            }
            return session_answered(session, message, outcomes[i].event);
        }
    }
    return session_break(session, "the image gave a result that version 1 of its protocol does not have");
}

static proof_event_e on_repeat(proof_session_t *session, const message_t *message)
{
    return CRYPTO_memcmp(message->bytes[MAC], session->acknowledged, PROOF_BYTES) == 0 ? PROOF_AGAIN
                                                                                       : PROOF_NONE;
}

static handler_fn *const handlers[STATES][KINDS] = {
    [WAITING] = {[HELLO] = on_hello, [RESULT] = on_result_too_early, [REFUSAL] = on_refusal},
    [GREETED] = {[HELLO] = on_hello, [RESULT] = on_result_too_early, [REFUSAL] = on_refusal},
    [SEALED] = {[HELLO] = on_hello_again, [RESULT] = on_result, [REFUSAL] = on_refusal},
    [ANSWERED] = {[RESULT] = on_repeat, [REFUSAL] = on_repeat},
};

/* ---- reading ------------------------------------------------------------------------------------------- */

/* The fields of the kinds that an image sends. */
static const struct {
    const char *name;
    unsigned char is_word[FIELDS];
} kinds[KINDS] = {
    [HELLO] = {"hello", {0, 0, 0}},
    [RESULT] = {"result", {1, 1, 0}},
    [REFUSAL] = {"refusal", {0, 1, 0}},
};

/* One field of a message. Frames have no other characters than a word may have, so its length is checked. */
static int read_field(const char *text, int is_word, message_t *message, int at)
{
    if (!is_word) {
        return digest_parse_hex(message->bytes[at], PROOF_BYTES, text);
    }
    message->words[at] = text;
    return text[0] != '\0' && strlen(text) <= REASON_MAX;
}

/* The frame's kind, KINDS if there is none such or its fields are not as they should be. */
static kind_e read_message(const frame_t *frame, message_t *message)
{
    kind_e kind = HELLO;

    while (kind < KINDS && (frame->count < 2 || strcmp(frame->fields[1], kinds[kind].name) != 0)) {
        kind++;
    }
    if (kind == KINDS || frame->count != 2 + FIELDS) {
        return KINDS;
    }
    for (int i = 0; i < FIELDS; i++) {
        if (!read_field(frame->fields[2 + i], kinds[kind].is_word[i], message, i)) {
            return KINDS;
        }
    }
    return kind;
}

/* What we typed, echoed by a terminal. */
static int is_echo(const frame_t *frame)
{
    return frame->count >= 2 &&
           (strcmp(frame->fields[1], "seal") == 0 || strcmp(frame->fields[1], "ack") == 0);
}

static proof_event_e session_take_frame(proof_session_t *session, const frame_t *frame)
{
    message_t message = {0};
    int same_version = strcmp(frame->fields[0], QUOTED(PROOF_VERSION)) == 0;
    kind_e kind;

    if (session->state == ENDED || (same_version && is_echo(frame))) {
        return PROOF_NONE;
    }
    kind = same_version ? read_message(frame, &message) : KINDS;
    if (kind < KINDS) {
        handler_fn *handler = handlers[session->state][kind];

        return handler != NULL ? handler(session, &message) : PROOF_NONE;
    }
    if (session->state == ANSWERED) {
        return PROOF_NONE;
    }
    return session_break(
        session, same_version
                     ? "the PC says something that version 1 of the image's protocol does not have"
                     : "the image speaks another version of its protocol than this worker, which speaks "
                       "version " QUOTED(PROOF_VERSION));
}

proof_event_e proof_feed(proof_session_t *session, const char **bytes, apr_size_t *length)
{
    proof_event_e event = PROOF_NONE;
    frame_t frame;

    while (*length > 0 && event == PROOF_NONE) {
        int whole = frame_take(&session->reader, **bytes, &frame);

        (*bytes)++;
        (*length)--;
        if (whole) {
            /* OpenSSL's errors of ours must not be taken for those of a TLS connection of this thread */
            ERR_set_mark();
            event = session_take_frame(session, &frame);
            ERR_pop_to_mark();
        }
    }
    return event;
}

/* ---- writing ------------------------------------------------------------------------------------------- */

/* T, over both sides' words. */
static int make_transcript(proof_session_t *session, const unsigned char *nonce, const unsigned char *key)
{
    proof_words_t words;

    proof_words_begin(&words, "amtunlock-proof-1 transcript");
    proof_words_add_name(&words, session->system_id);
    proof_words_add(&words, session->image_nonce, PROOF_BYTES);
    proof_words_add(&words, session->image_key, PROOF_BYTES);
    proof_words_add(&words, nonce, PROOF_BYTES);
    proof_words_add(&words, key, PROOF_BYTES);
    return proof_hash(&words, session->transcript);
}

/* NULL, or what is wrong. */
static const char *make_seal(proof_session_t *session, EVP_PKEY *own, const unsigned char *key,
                             const char *passphrase, const char **line)
{
    unsigned char nonce[PROOF_BYTES], sealed[PROOF_SEALED_MAX];
    hidden_t *hidden = session->hidden;
    const char *body;
    apr_size_t length;

    if (own == NULL || RAND_bytes(nonce, PROOF_BYTES) != 1 || !make_transcript(session, nonce, key)) {
        return "OpenSSL could not make a key for the seal";
    }
    if (!proof_agree(own, session->image_key, hidden->s, session->transcript, &hidden->keys)) {
        return "the image's public key is one that makes no secret, or no memory for secrets is left";
    }
    length = proof_seal_bytes(hidden->keys.seal, session->transcript, passphrase, strlen(passphrase), sealed);
    OPENSSL_cleanse(hidden->keys.seal, PROOF_BYTES);
    if (length > 0) {
        body = apr_pstrcat(session->pool, "1,seal,", apr_pescape_hex(session->pool, nonce, PROOF_BYTES, 0),
                           ",", apr_pescape_hex(session->pool, key, PROOF_BYTES, 0), ",",
                           apr_pescape_hex(session->pool, sealed, length, 0), NULL);
        *line = frame_write(body, session->pool);
    }
    return *line != NULL ? NULL : "OpenSSL could not seal the passphrase";
}

static const char *seal_for_image(proof_session_t *session, const char *passphrase, const char **line)
{
    unsigned char key[PROOF_BYTES];
    size_t length = strlen(passphrase);
    EVP_PKEY *own;
    const char *error;

    if (length < 1 || length > PROOF_PASSPHRASE_MAX) {
        return "the passphrase is empty or longer than " QUOTED(PROOF_PASSPHRASE_MAX) " bytes";
    }
    own = proof_key_pair(key);
    error = make_seal(session, own, key, passphrase, line);
    EVP_PKEY_free(own);
    return error;
}

const char *proof_seal(proof_session_t *session, const char *passphrase, const char **line)
{
    const char *error;

    *line = NULL;
    if (session->state != GREETED) {
        return session->state == WAITING ? "the image has not said hello: there is nobody to seal for"
                                         : "this session has had its one passphrase, or is over";
    }
    ERR_set_mark();
    error = seal_for_image(session, passphrase, line);
    ERR_pop_to_mark();
    if (error != NULL) {
        session_break(session, error);
        return session->text;
    }
    session->state = SEALED;
    return NULL;
}

const char *proof_acknowledge(const proof_session_t *session)
{
    return session->acknowledgement;
}
