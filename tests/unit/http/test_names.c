/* SPDX-License-Identifier: MIT */
/* The numbers of field names. That no two share a slot is shown by names.c compiling. */
#include "http/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "support/runner.h"

TEST(every_name_is_found_in_any_case)
{
    char text[64];

    for (int known = 1; known < MP_HTTP_NAME_COUNT; known++) {
        const char *name = mp_http_known_name((enum mp_http_known)known);
        size_t len = strlen(name);
        CHECK_EQ(mp_http_known_find(name, len), known);
        for (size_t i = 0; i <= len; i++)
            text[i] = (char)tolower(name[i]);
        CHECK_EQ(mp_http_known_find(text, len), known);
        for (size_t i = 0; i <= len; i++)
            text[i] = (char)toupper(name[i]);
        CHECK_EQ(mp_http_known_find(text, len), known);
    }
    CHECK(MP_HTTP_NAME_COUNT > 60);
}

TEST(nearly_a_name_is_not_one)
{
    char text[64];

    for (int known = 1; known < MP_HTTP_NAME_COUNT; known++) {
        const char *name = mp_http_known_name((enum mp_http_known)known);
        size_t len = strlen(name);
        for (size_t i = 0; i < len; i++) {
            strcpy(text, name);
            text[i] = text[i] == '_' ? 'q' : '_';
            CHECK_EQ(mp_http_known_find(text, len), MP_HTTP_NAME_OTHER);
        }
        CHECK(mp_http_known_find(name, len - 1) != (enum mp_http_known)known);
        snprintf(text, sizeof(text), "%sx", name);
        CHECK(mp_http_known_find(text, len + 1) != (enum mp_http_known)known);
    }
    CHECK_EQ(mp_http_known_find("", 0), MP_HTTP_NAME_OTHER);
    CHECK_EQ(mp_http_known_find("x", 1), MP_HTTP_NAME_OTHER);
    memset(text, 'x', sizeof(text));
    for (size_t len = 0; len <= sizeof(text); len++)
        CHECK_EQ(mp_http_known_find(text, len), MP_HTTP_NAME_OTHER);
}

TEST(cgi_variables_follow_from_the_names)
{
    char want[64];

    for (int known = 1; known < MP_HTTP_NAME_COUNT; known++) {
        const char *name = mp_http_known_name((enum mp_http_known)known);
        int content = known == MP_HTTP_NAME_CONTENT_TYPE || known == MP_HTTP_NAME_CONTENT_LENGTH;
        snprintf(want, sizeof(want), "%s%s", content ? "" : "HTTP_", name);
        for (char *p = want; *p != '\0'; p++)
            *p = *p == '-' ? '_' : (char)toupper(*p);
        CHECK_STR(mp_http_known_cgi((enum mp_http_known)known), want);
    }
    CHECK(mp_http_known_cgi(MP_HTTP_NAME_OTHER) == NULL);
    CHECK(mp_http_known_name(MP_HTTP_NAME_OTHER) == NULL);
    CHECK(mp_http_known_cgi(MP_HTTP_NAME_COUNT) == NULL);
    CHECK(mp_http_known_cgi((enum mp_http_known)(MP_HTTP_NAME_COUNT + 1)) == NULL);
    CHECK(mp_http_known_name(MP_HTTP_NAME_COUNT) == NULL);
}
