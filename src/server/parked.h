/* SPDX-License-Identifier: MIT */
/*
 * A request whose body comes slowly, folded up.
 *
 * Between the pieces of a body nobody looks at the parsed head, which is most of a request's
 * memory: so only its bytes are kept, and are parsed again when the next piece comes. A client that
 * drips costs what it has sent, and few hundred bytes more.
 */
#ifndef MP_SERVER_PARKED_H
#define MP_SERVER_PARKED_H

#include "server/internal.h"

/* Leader: folds up the request of a connection that reads a body, if memory can be had; else it
 * stays as it is. */
void mp_parked_put(struct mp_conn *conn);

/* Leader: gives the connection its request back, if it is folded up. 0 or -ENOMEM. */
int mp_parked_take(struct mp_conn *conn);

/* Bytes of its body so far. */
uint64_t mp_parked_body_length(const struct mp_parked *parked);

/* Frees it; NULL is allowed. */
void mp_parked_free(struct mp_parked *parked);

#endif
