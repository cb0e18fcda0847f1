/* SPDX-License-Identifier: MIT */
/* The table of byte classes, written as the definitions read and computed by the compiler. */
#include "http/chars.h"

#define LOWER(c) ((c) >= 'a' && (c) <= 'z')
#define UPPER(c) ((c) >= 'A' && (c) <= 'Z')
#define DIGIT(c) ((c) >= '0' && (c) <= '9')
#define HEX(c) (DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define ALNUM(c) (LOWER(c) || UPPER(c) || DIGIT(c))

/* tchar = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|" / "~"
 */
#define TOKEN(c)                                                                                   \
    (ALNUM(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||             \
     (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' ||          \
     (c) == '_' || (c) == '`' || (c) == '|' || (c) == '~')

/* unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"
 * sub-delims = "!" / "$" / "&" / "'" / "(" / ")" / "*" / "+" / "," / ";" / "=" */
#define REGNAME(c)                                                                                 \
    (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '!' ||             \
     (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' ||          \
     (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')

#define TARGET(c) ((c) > ' ' && (c) != 0x7f && (c) != '#')
#define CONTROL(c) (((c) < ' ' && (c) != '\t') || (c) == 0x7f)

#define CLASS(c)                                                                                   \
    ((TOKEN(c) ? MP_HTTP_CHAR_TOKEN : 0) | (TOKEN(c) && !LOWER(c) ? MP_HTTP_CHAR_METHOD : 0) |     \
     (TARGET(c) ? MP_HTTP_CHAR_TARGET : 0) | (TARGET(c) && (c) != '?' ? MP_HTTP_CHAR_PATH : 0) |   \
     (REGNAME(c) ? MP_HTTP_CHAR_REGNAME : 0) | (HEX(c) ? MP_HTTP_CHAR_HEX : 0) |                   \
     (CONTROL(c) ? MP_HTTP_CHAR_CONTROL : 0) | ((c) == '_' ? MP_HTTP_CHAR_UNDERSCORE : 0))

#define CLASS4(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS16(c) CLASS4(c), CLASS4((c) + 4), CLASS4((c) + 8), CLASS4((c) + 12)
#define CLASS64(c) CLASS16(c), CLASS16((c) + 16), CLASS16((c) + 32), CLASS16((c) + 48)

const uint8_t mp_http_chars[256] = {CLASS64(0), CLASS64(64), CLASS64(128), CLASS64(192)};
