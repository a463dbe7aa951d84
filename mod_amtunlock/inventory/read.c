/* SPDX-License-Identifier: Apache-2.0 */
/* systems.csv from bytes to rows: lines, the header, cells. libcsv knows quotes; this file knows lines.
 *
 * Lines are split here and given to libcsv one by one, because every problem must carry its line number, a
 * quote left open must not swallow the rest of the file, and no line may grow without bound.
 */
#include <string.h>

#include <apr_cstr.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <csv.h>

#include "base/text.h"
#include "inventory/row_priv.h"

#define CHUNK 65536
#define FILE_MAX (APR_INT64_C(256) << 20)
/* Cells that are looked at in a line; one with more is wrong anyway. */
#define CELLS_MAX (INVENTORY_COLUMNS * 2)
#define NO_COLUMN INVENTORY_COLUMNS

typedef struct {
    inventory_problems_t *problems;
    inventory_row_fn *take;
    void *context;
    apr_pool_t *line_pool;

    struct csv_parser csv;
    char line[INVENTORY_LINE_MAX + 2]; /* and its line end */
    apr_size_t length;
    int too_long;
    unsigned int number;

    const char *cells[CELLS_MAX];
    int cell_count;
    int filled; /* cells up to the last that is not empty: spreadsheets write commas behind it */

    inventory_column_e columns[CELLS_MAX]; /* of each position, from the header line */
    int column_count;                      /* 0: no header line yet */
    int width;                             /* cells that a row may have, the empty ones at its end counted */
    int stopped;                           /* what follows cannot be understood */
} reader_t;

static void on_cell(void *text, size_t length, void *data)
{
    reader_t *reader = data;

    if (reader->cell_count < CELLS_MAX) {
        reader->cells[reader->cell_count] = apr_pstrmemdup(reader->line_pool, text, length);
    }
    reader->cell_count++;
    if (length > 0) {
        reader->filled = reader->cell_count;
    }
}

static void on_row(int end, void *data)
{
    (void)end; /* a row is what one line holds */
    (void)data;
}

static int csv_start(reader_t *reader)
{
    return csv_init(&reader->csv, CSV_STRICT | CSV_STRICT_FINI);
}

/* Fills reader->cells. 0 if the quotes of this line are wrong. */
static int split_line(reader_t *reader, const char *text, apr_size_t length)
{
    reader->cell_count = 0;
    reader->filled = 0;
    if (csv_parse(&reader->csv, text, length, on_cell, on_row, reader) == length &&
        csv_fini(&reader->csv, on_cell, on_row, reader) == 0) {
        return 1;
    }
    csv_free(&reader->csv);
    csv_start(reader);
    return 0;
}

static inventory_column_e column_of(const char *name)
{
    for (int i = 0; i < INVENTORY_COLUMNS; i++) {
        if (apr_cstr_casecmp(name, inventory_column_name(i)) == 0) {
            return i;
        }
    }
    return NO_COLUMN;
}

/* What stands between the cells instead of a comma, or NULL. */
static const char *other_separator(const char *cell)
{
    static const struct {
        char byte;
        const char *name;
    } separators[] = {{';', "semicolons"}, {'\t', "tabs"}, {'|', "bars"}};

    for (size_t i = 0; i < sizeof(separators) / sizeof(separators[0]); i++) {
        if (strchr(cell, separators[i].byte) != NULL) {
            return separators[i].name;
        }
    }
    return NULL;
}

static void take_header_cell(reader_t *reader, int position)
{
    const char *cell = reader->cells[position];
    const char *separator = other_separator(cell);
    inventory_column_e column = column_of(cell);

    reader->columns[position] = column;
    if (separator != NULL) {
        inventory_problem(reader->problems, reader->number,
                          "the cells are separated by %s; save the file with commas between them", separator);
        reader->stopped = 1;
        return;
    }
    if (column == NO_COLUMN) {
        inventory_problem(reader->problems, reader->number, "the header line names an unknown column '%s'",
                          inventory_quote(cell, reader->line_pool));
        reader->stopped = 1;
        return;
    }
    for (int i = 0; i < position; i++) {
        if (reader->columns[i] == column) {
            inventory_problem(reader->problems, reader->number, "the header line names '%s' twice",
                              inventory_column_name(column));
            reader->stopped = 1;
        }
    }
}

static void take_header(reader_t *reader)
{
    int has_fqdn = 0;

    reader->column_count = reader->filled < CELLS_MAX ? reader->filled : CELLS_MAX;
    reader->width = reader->cell_count > CELLS_MAX ? reader->cell_count : CELLS_MAX;
    for (int i = 0; i < reader->column_count && !reader->stopped; i++) {
        take_header_cell(reader, i);
        has_fqdn |= reader->columns[i] == INVENTORY_FQDN;
    }
    if (!has_fqdn && !reader->stopped) {
        inventory_problem(
            reader->problems, reader->number,
            "the header line has no column 'fqdn'; it must begin the file and name the columns");
        reader->stopped = 1;
    }
}

static void take_row(reader_t *reader)
{
    inventory_row_t row = {.line = reader->number};

    if (reader->cell_count < reader->column_count || reader->cell_count > reader->width ||
        reader->filled > reader->column_count) {
        inventory_problem(reader->problems, reader->number, "%d cells where the header line has %d",
                          reader->cell_count, reader->column_count);
        return;
    }
    for (int i = 0; i < INVENTORY_COLUMNS; i++) {
        row.cells[i] = "";
    }
    for (int i = 0; i < reader->column_count; i++) {
        row.cells[reader->columns[i]] = reader->cells[i];
    }
    reader->take(reader->context, &row);
}

/* What makes a line unreadable before its cells are looked at, or NULL. */
static const char *line_fault(const reader_t *reader, const char *text, apr_size_t length)
{
    if (reader->too_long) {
        return apr_psprintf(reader->line_pool, "the line is longer than %d bytes", INVENTORY_LINE_MAX);
    }
    if (memchr(text, '\0', length) != NULL) {
        return "the line holds a NUL byte; the file must be plain UTF-8 text, not UTF-16";
    }
    if (memchr(text, '\r', length) != NULL) {
        return "a carriage return inside the line; lines must end in LF or CRLF";
    }
    return NULL;
}

/* What files begin with that are no CSV file. */
static const struct {
    const char *bytes;
    size_t length;
    const char *sentence;
} other_files[] = {
    {"\xff\xfe", 2, "the file is UTF-16; save it as UTF-8"},
    {"\xfe\xff", 2, "the file is UTF-16; save it as UTF-8"},
    {"PK\x03\x04", 4, "the file is a workbook, such as .xlsx or .ods; save it as CSV"},
    {"\xd0\xcf\x11\xe0", 4, "the file is a workbook of an old form (.xls); save it as CSV"},
    {"\x1f\x8b", 2, "the file is compressed; unpack it"},
};

static void check_first_bytes(reader_t *reader)
{
    for (size_t i = 0; i < sizeof(other_files) / sizeof(other_files[0]); i++) {
        if (reader->length >= other_files[i].length &&
            memcmp(reader->line, other_files[i].bytes, other_files[i].length) == 0) {
            inventory_problem(reader->problems, 0, "%s", other_files[i].sentence);
            reader->stopped = 1;
        }
    }
}

/* Where the text of this line begins; drops a byte order mark. */
static const char *skip_mark(reader_t *reader)
{
    if (reader->number != 1) {
        return reader->line;
    }
    check_first_bytes(reader);
    return reader->line + text_mark_length(reader->line, reader->length);
}

static void take_line(reader_t *reader, const char *text, apr_size_t length)
{
    const char *fault = line_fault(reader, text, length);

    if (fault == NULL && !split_line(reader, text, length)) {
        fault = "a quote is not closed, or stands inside a cell that does not begin with one";
    }
    if (fault != NULL) {
        inventory_problem(reader->problems, reader->number, "%s", fault);
        reader->stopped = reader->column_count == 0;
        return;
    }
    if (reader->filled == 0) {
        return; /* an empty line, or one of a spreadsheet: nothing but commas */
    }
    if (reader->column_count == 0) {
        take_header(reader);
    }
    else {
        take_row(reader);
    }
}

static void end_line(reader_t *reader)
{
    const char *text;
    apr_size_t length;

    reader->number++;
    text = skip_mark(reader);
    length = reader->length - (apr_size_t)(text - reader->line);
    if (length > 0 && text[length - 1] == '\n') {
        length--;
    }
    if (length > 0 && text[length - 1] == '\r') {
        length--;
    }
    reader->too_long |= length > INVENTORY_LINE_MAX;
    if (!reader->stopped) {
        take_line(reader, text, length);
    }
    reader->length = 0;
    reader->too_long = 0;
    apr_pool_clear(reader->line_pool);
}

static void take_bytes(reader_t *reader, const char *bytes, apr_size_t count)
{
    while (count > 0 && !reader->stopped) {
        const char *end = memchr(bytes, '\n', count);
        apr_size_t part = end != NULL ? (apr_size_t)(end - bytes) + 1 : count;

        if (part > sizeof(reader->line) - reader->length) {
            reader->too_long = 1;
        }
        else {
            memcpy(reader->line + reader->length, bytes, part);
            reader->length += part;
        }
        if (end != NULL) {
            end_line(reader);
        }
        bytes += part;
        count -= part;
    }
}

static apr_status_t read_all(reader_t *reader, apr_file_t *file, apr_pool_t *pool)
{
    char *chunk = apr_palloc(pool, CHUNK);
    apr_status_t status = APR_SUCCESS;

    while (!reader->stopped) {
        apr_size_t count = CHUNK;

        status = apr_file_read(file, chunk, &count);
        if (status != APR_SUCCESS) {
            break;
        }
        take_bytes(reader, chunk, count);
    }
    if (status != APR_SUCCESS && !APR_STATUS_IS_EOF(status)) {
        return status;
    }
    if ((reader->length > 0 || reader->too_long) && !reader->stopped) {
        end_line(reader); /* the last line has no line end */
    }
    if (reader->column_count == 0 && !reader->stopped) {
        inventory_problem(reader->problems, 0, "the file is empty; it must begin with a header line");
    }
    return APR_SUCCESS;
}

static apr_status_t file_problem(inventory_problems_t *problems, const char *what, apr_status_t status)
{
    inventory_problem(problems, 0, "%s: %s", what, text_strerror(status, problems->pool));
    return status;
}

/* Looked at before it is opened: to open a pipe would wait for its other end. */
static apr_status_t open_regular(apr_file_t **file, const char *name, inventory_problems_t *problems,
                                 apr_time_t *written, apr_pool_t *pool)
{
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, name, APR_FINFO_TYPE | APR_FINFO_SIZE | APR_FINFO_MTIME, pool);

    if (status != APR_SUCCESS) {
        return file_problem(problems, "cannot be read", status);
    }
    if (info.filetype != APR_REG || info.size > FILE_MAX) {
        inventory_problem(problems, 0,
                          info.filetype == APR_REG ? "is larger than 256 MiB" : "is not a regular file");
        return APR_EGENERAL;
    }
    status = apr_file_open(file, name, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, pool);
    if (status != APR_SUCCESS) {
        return file_problem(problems, "cannot be opened", status);
    }
    *written = info.mtime;
    return APR_SUCCESS;
}

apr_status_t inventory_read(const char *file, inventory_problems_t *problems, inventory_row_fn *take,
                            void *context, apr_time_t *written, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    apr_file_t *handle;
    reader_t *reader;
    apr_status_t status = apr_pool_create(&scratch, pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    status = open_regular(&handle, file, problems, written, scratch);
    if (status == APR_SUCCESS) {
        reader = apr_pcalloc(scratch, sizeof(*reader));
        reader->problems = problems;
        reader->take = take;
        reader->context = context;
        apr_pool_create(&reader->line_pool, scratch);
        csv_start(reader);
        status = read_all(reader, handle, scratch);
        csv_free(&reader->csv);
        if (status != APR_SUCCESS) {
            file_problem(problems, "cannot be read", status);
        }
    }
    apr_pool_destroy(scratch);
    return status;
}
