/* A small HTTP server in four architectures with one configurable fault: server ARCHITECTURE FAULT [BACKEND_PORT].
 *
 * Architectures: loop, prefork (4 processes with one listener), threads (one per connection), pool (4 threads).
 * Prints its port; ends when standard input ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
#define LARGE (256 * 1024)
static const char *fault;
static int backend_port, listener, file = -1;
static _Thread_local int backend = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_filled = PTHREAD_COND_INITIALIZER;
static int queue[4096], queue_head, queue_tail, shared_epoll;
static char large[LARGE];

static int has(const char *name) { return !strcmp(fault, name); }

static void burn(long ns)
{
	struct timespec now, start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < ns);
}

static int connected(int type, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, type, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Sends a request to the backend and waits for its answer; with `anew`, on a connection of its own. */
static void call_backend(int anew)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";
	char answer[4096];
	if (backend < 0)
		backend = connected(SOCK_STREAM, backend_port);
	if (backend < 0 || send(backend, text, sizeof(text) - 1, MSG_NOSIGNAL) < 0 || recv(backend, answer, sizeof(answer), 0) <= 0
	    || anew) {
		close(backend);
		backend = -1;
	}
}

/* A name server that never answers: the wait ends after 10 ms. */
static void look_up(void)
{
	struct timeval limit = {.tv_usec = 10000};
	char answer[512];
	int fd = connected(SOCK_DGRAM, backend_port);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	send(fd, "query", 5, 0);
	recv(fd, answer, sizeof(answer), 0);
	close(fd);
}

static void work(void)
{
	if (has("fsync")) {
		if (file < 0)
			file = open("log", O_CREAT | O_WRONLY | O_APPEND, 0600);
		if (write(file, large, 512) < 0 || fdatasync(file))
			perror("log");
	} else if (has("lock")) {
		pthread_mutex_lock(&mutex);
		burn(150000);
		pthread_mutex_unlock(&mutex);
	} else if (has("unlocked")) {
		burn(150000);
	} else if (has("slow")) {
		usleep(5000);
	} else if (has("backend") || has("reconnect")) {
		call_backend(has("reconnect"));
	} else if (has("dns")) {
		look_up();
	} else if (has("faults")) {
		char *memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int at = 0; at < LARGE; at += 4096)
			memory[at] = 1;
		munmap(memory, LARGE);
	} else if (has("failing")) {
		for (int count = 0; count < 20; count++)
			if (open("/nonexistent/configuration", O_RDONLY) >= 0)
				abort();
	}
}

static void send_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		text += sent;
		size -= sent;
	}
}

/* One request and its response; 0 at the end of the connection. */
static int serve(int fd)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
	char text[4096];
	ssize_t size = recv(fd, text, sizeof(text), 0);
	if (size <= 0)
		return 0;
	work();
	if (has("nagle")) {
		send_all(fd, head, sizeof(head) - 1);
		send_all(fd, "hello", 5);
	} else if (has("sndbuf") || has("large")) {
		size = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
		send_all(fd, text, size);
		send_all(fd, large, LARGE);
	} else {
		size = snprintf(text, sizeof(text), "%shello", head);
		send_all(fd, text, size);
	}
	return 1;
}

static void prepare(int fd)
{
	int one = 1, tiny = 4608;
	if (!has("nagle"))
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (has("sndbuf"))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &tiny, sizeof(tiny));
}

static void watch(int epoll, int operation, int fd, unsigned events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	epoll_ctl(epoll, operation, fd, &event);
}

/* `hand_over`: requests are queued for the pool. */
static void loop(int hand_over, unsigned listen_flags)
{
	int epoll = epoll_create1(0);
	struct epoll_event events[64];
	fcntl(listener, F_SETFL, O_NONBLOCK);
	watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN | listen_flags);
	shared_epoll = epoll;
	for (;;) {
		int count = epoll_wait(epoll, events, 64, -1);
		for (int index = 0; index < count; index++) {
			int fd = events[index].data.fd;
			if (fd == listener) {
				if (has("backlog"))
					usleep(50000);
				int accepted = accept(listener, NULL, NULL);
				if (accepted < 0)
					continue;
				prepare(accepted);
				watch(epoll, EPOLL_CTL_ADD, accepted, EPOLLIN | (hand_over ? EPOLLONESHOT : 0));
			} else if (hand_over) {
				pthread_mutex_lock(&queue_mutex);
				queue[queue_head++ % 4096] = fd;
				pthread_cond_signal(&queue_filled);
				pthread_mutex_unlock(&queue_mutex);
			} else if (!serve(fd)) {
				close(fd);
			}
		}
	}
}

static void *pool_worker(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&queue_mutex);
		while (queue_head == queue_tail)
			pthread_cond_wait(&queue_filled, &queue_mutex);
		int fd = queue[queue_tail++ % 4096];
		pthread_mutex_unlock(&queue_mutex);
		if (serve(fd))
			watch(shared_epoll, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
		else
			close(fd);
	}
	return unused;
}

static void *connection_thread(void *fd)
{
	while (serve((int)(long)fd))
		;
	close((int)(long)fd);
	if (backend >= 0)
		close(backend);
	return NULL;
}

static void *spin(void *unused)
{
	static atomic_int never;
	while (!atomic_load(&never))
		;
	return unused;
}

static void *end_with_input(void *unused)
{
	char text;
	while (read(0, &text, 1) > 0)
		;
	kill(0, SIGKILL);
	return unused;
}

int main(int count, char **arguments)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	const char *architecture = count > 1 ? arguments[1] : "loop";
	int one = 1;
	pthread_t thread;

	fault = count > 2 ? arguments[2] : "none";
	backend_port = count > 3 ? atoi(arguments[3]) : 9;
	setpgid(0, 0);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	bind(listener, (struct sockaddr *)&address, sizeof(address));
	listen(listener, has("backlog") ? 1 : 4096);
	getsockname(listener, (struct sockaddr *)&address, &size);
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	if (!strcmp(architecture, "prefork"))
		for (int index = 1; index < WORKERS; index++)
			if (!fork()) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				loop(0, has("herd") ? 0 : EPOLLEXCLUSIVE);
			}
	pthread_create(&thread, NULL, end_with_input, NULL);
	if (has("spin"))
		for (int index = 0; index < WORKERS; index++)
			pthread_create(&thread, NULL, spin, NULL);
	if (!strcmp(architecture, "threads"))
		for (;;) {
			long accepted = accept(listener, NULL, NULL);
			prepare(accepted);
			if (!pthread_create(&thread, NULL, connection_thread, (void *)accepted))
				pthread_detach(thread);
		}
	if (!strcmp(architecture, "pool")) {
		for (int index = 0; index < WORKERS; index++)
			pthread_create(&thread, NULL, pool_worker, NULL);
		loop(1, 0);
	}
	loop(0, has("herd") ? 0 : EPOLLEXCLUSIVE);
}
