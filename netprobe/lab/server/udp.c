#include "udp.h"

#include "fail.h"

#include <stdlib.h>
#include <sys/socket.h>

#define BATCH 16
#define LARGEST 65536

struct datagram {
    struct sockaddr_storage from;
    socklen_t from_length;
    ssize_t length;
    char data[LARGEST];
};

struct udp {
    int queued;
    struct datagram datagrams[BATCH];
};

struct udp *udp_open(void)
{
    struct udp *udp = calloc(1, sizeof *udp);
    if (!udp)
        fail("calloc");
    return udp;
}

void udp_close(struct udp *udp)
{
    free(udp);
}

static bool receive(struct reactor *reactor, struct datagram *datagram)
{
    datagram->from_length = sizeof datagram->from;
    datagram->length = recvfrom(reactor->listener, datagram->data, sizeof datagram->data, 0,
                                (struct sockaddr *)&datagram->from, &datagram->from_length);
    return datagram->length >= 0;
}

// A response is dropped if the send buffer is full, as the network may drop it.
static void answer(struct reactor *reactor, const struct datagram *datagram)
{
    sendto(reactor->listener, datagram->data, datagram->length, MSG_NOSIGNAL,
           (const struct sockaddr *)&datagram->from, datagram->from_length);
}

void udp_serve(struct udp *udp, struct reactor *reactor)
{
    while (udp->queued < BATCH && receive(reactor, &udp->datagrams[udp->queued])) {
        reactor_work(reactor, 1);
        if (reactor->options->flush_batched)
            udp->queued++;
        else
            answer(reactor, &udp->datagrams[0]);
        if (reactor_interrupted(reactor))
            return;
    }
}

void udp_flush(struct udp *udp, struct reactor *reactor)
{
    for (int i = 0; i < udp->queued; i++)
        answer(reactor, &udp->datagrams[i]);
    udp->queued = 0;
}
