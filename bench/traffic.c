/* Makes and counts the packets of bench/datapath.py and bench/rules.py: in C, because Python takes as long for a packet
 * as the kernel does. Never goes onto a router. Every line printed is a JSON object.
 *
 *   traffic CPU serve ADDRESS PORT        TCP: echoes one connection after the other
 *   traffic CPU sink ADDRESS PORT         UDP: a socket whose filter drops everything, so nobody is woken up
 *   traffic CPU count ADDRESS PORT        UDP: receives; when 0.3 s nothing has come, says how many there were
 *   traffic CPU answer ADDRESS PORT SECONDS   UDP: blasts at whoever sends something, once, and says what it cost
 *   traffic CPU blast ADDRESS PORT SECONDS    UDP: the same towards an address
 *   traffic CPU ask ADDRESS PORT SECONDS  UDP: sends one datagram and drops what comes, for a time
 *   traffic CPU rr ADDRESS PORT SECONDS   TCP: 64 bytes to and fro over one connection; the times of round trips
 *   traffic CPU crr ADDRESS PORT SECONDS  TCP: connect, 64 bytes to and fro, reset; how often, and the times
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, BATCH = 64, MOST = 4000000 };
static char data[SIZE];

static void die(const char *what) {
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(clockid_t clock) {
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static struct sockaddr_in place(const char *address, const char *port) {
	struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
	if (inet_pton(AF_INET, address, &found.sin_addr) != 1)
		die(address);
	return found;
}

static int bound(int kind, struct sockaddr_in where) {
	int fd = socket(AF_INET, kind, 0), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (void *)&where, sizeof where))
		die("bind");
	return fd;
}

static int connected(int kind, struct sockaddr_in where) {
	int fd = socket(AF_INET, kind, 0), one = 1;
	if (connect(fd, (void *)&where, sizeof where))
		die("connect");
	if (kind == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void drop_all(int fd) {
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &none};
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
		die("SO_ATTACH_FILTER");
}

/* veth runs the whole path inside of sendmmsg, so this process's CPU time is what the path costs. */
static void blast(int fd, double seconds) {
	struct iovec part = {data, SIZE};
	struct mmsghdr batch[BATCH];
	long sent = 0, refused = 0;
	memset(batch, 0, sizeof batch);
	for (int i = 0; i < BATCH; i++)
		batch[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	double wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), end = wall + seconds;
	while (now(CLOCK_MONOTONIC) < end) {
		int count = sendmmsg(fd, batch, BATCH, 0);
		if (count > 0)
			sent += count;
		else
			refused++; /* an ICMP error of an earlier one: the run counts for nothing */
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	wall = now(CLOCK_MONOTONIC) - wall;
	printf("{\"sent\": %ld, \"refused\": %ld, \"seconds\": %.6f, \"cpu\": %.6f}\n", sent, refused, wall, cpu);
}

static void answer(int fd, double seconds) {
	struct sockaddr_in peer;
	socklen_t size = sizeof peer;
	char got[2048];
	if (recvfrom(fd, got, sizeof got, 0, (void *)&peer, &size) < 0 || connect(fd, (void *)&peer, size))
		die("answer");
	usleep(20000); /* until the other side drops */
	blast(fd, seconds);
}

static void count(int fd) {
	static char rooms[BATCH][2048];
	struct iovec parts[BATCH];
	struct mmsghdr batch[BATCH];
	struct timespec quiet = {0, 300000000};
	struct pollfd ready = {fd, POLLIN, 0};
	long found = 0;
	double begin = 0, end = 0;
	memset(batch, 0, sizeof batch);
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){rooms[i], sizeof rooms[i]};
		batch[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	while (ppoll(&ready, 1, found ? &quiet : NULL, NULL) > 0) {
		int more = recvmmsg(fd, batch, BATCH, MSG_DONTWAIT, NULL);
		if (more <= 0)
			continue;
		end = now(CLOCK_MONOTONIC);
		begin = found ? begin : end;
		found += more;
	}
	printf("{\"received\": %ld, \"seconds\": %.6f}\n", found, end - begin);
}

static void serve(int fd) {
	if (listen(fd, 1024))
		die("listen");
	for (;;) {
		int one = 1, peer = accept(fd, NULL, NULL);
		char got[SIZE];
		ssize_t size;
		if (peer < 0)
			continue;
		setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		while ((size = read(peer, got, sizeof got)) > 0)
			if (write(peer, got, size) != size)
				break;
		close(peer);
	}
}

static int in_order(const void *a, const void *b) {
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static void turn(int fd) {
	ssize_t have = 0, more;
	char got[SIZE];
	if (write(fd, data, SIZE) != SIZE)
		die("write");
	for (; have < SIZE; have += more)
		if ((more = read(fd, got, SIZE - have)) <= 0)
			die("read");
}

static void round_trips(struct sockaddr_in where, double seconds, int reconnect) {
	struct linger reset = {1, 0};
	float *times = malloc(MOST * sizeof *times);
	long found = 0;
	int fd = reconnect ? -1 : connected(SOCK_STREAM, where);
	double begin = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID), last = begin;
	while (last < begin + seconds && found < MOST) {
		if (reconnect)
			fd = connected(SOCK_STREAM, where);
		turn(fd);
		if (reconnect) {
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
			close(fd);
		}
		double end = now(CLOCK_MONOTONIC);
		times[found++] = end - last;
		last = end;
	}
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	qsort(times, found, sizeof *times, in_order);
	printf("{\"turns\": %ld, \"seconds\": %.6f, \"cpu\": %.6f, \"median\": %.9f, \"p99\": %.9f}\n", found, last - begin,
	       cpu, times[found / 2], times[found * 99 / 100]);
}

int main(int argc, char **argv) {
	if (argc < 5)
		return 2;
	const char *verb = argv[2];
	double seconds = argc > 5 ? atof(argv[5]) : 1;
	struct sockaddr_in where = place(argv[3], argv[4]);
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[1]), &cpus);
	if (sched_setaffinity(0, sizeof cpus, &cpus))
		die("sched_setaffinity");
	if (!strcmp(verb, "serve"))
		serve(bound(SOCK_STREAM, where));
	else if (!strcmp(verb, "sink")) {
		drop_all(bound(SOCK_DGRAM, where));
		pause();
	} else if (!strcmp(verb, "count"))
		count(bound(SOCK_DGRAM, where));
	else if (!strcmp(verb, "answer"))
		answer(bound(SOCK_DGRAM, where), seconds);
	else if (!strcmp(verb, "blast"))
		blast(connected(SOCK_DGRAM, where), seconds);
	else if (!strcmp(verb, "ask")) {
		int fd = connected(SOCK_DGRAM, where);
		drop_all(fd);
		if (send(fd, data, SIZE, 0) != SIZE)
			die("send");
		usleep(seconds * 1e6);
	} else if (!strcmp(verb, "rr") || !strcmp(verb, "crr"))
		round_trips(where, seconds, verb[0] == 'c');
	else
		return 2;
	return 0;
}
