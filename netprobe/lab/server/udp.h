// Echo of datagrams on the reactor's UDP socket.
#pragma once

#include "reactor.h"

struct udp;

struct udp *udp_open(void);
void udp_close(struct udp *udp);
void udp_serve(struct udp *udp, struct reactor *reactor);
void udp_flush(struct udp *udp, struct reactor *reactor);
