/* SPDX-License-Identifier: MIT */
/* How a server describes itself to a client of its control socket. */
#ifndef MP_MASTER_CONTROL_TEXT_H
#define MP_MASTER_CONTROL_TEXT_H

#include <stddef.h>

#include "mp_version.h"

#define MP_CONTROL_SERVER MP_VERSION

struct mp_master;

/* The text of HELLO, see control_protocol.h. What does not fit is left out, a line at a time. */
void mp_control_text_describe(const struct mp_master *master, char *text, size_t size);

#endif
