/*
 * A small HTTP service: GET / says which version answers and how many pieces are in stock, /order?pieces=N what they cost,
 * /healthz that it is there. The stock is asked of another server, four times a second, over connections of its own.
 * Linked statically, so that an image of this one file runs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "order.h"
#include "settings.h"

static const int price = 250;
static atomic_int stock = -1;
static atomic_int busy;
static volatile sig_atomic_t ending;

static void pause_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR && !ending) {
  }
}

static void limit(int socket, int seconds) {
  struct timeval time = {seconds, 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

/* One line with a number. */
static void ask_stock(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(STOCK_PORT)};
  inet_pton(AF_INET, STOCK, &to.sin_addr);
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  limit(server, 1);
  char line[32];
  if (connect(server, (struct sockaddr *)&to, sizeof to) == 0) {
    ssize_t count = recv(server, line, sizeof line - 1, 0);
    if (count > 0) {
      line[count] = 0;
      stock = atoi(line);
    }
  }
  close(server);
}

static void *watch_stock(void *unused) {
  (void)unused;
  while (!ending) {
    ask_stock();
    pause_ms(250);
  }
  return NULL;
}

static int answer(const char *target, char *body, size_t room) {
  if (strcmp(target, "/healthz") == 0) return snprintf(body, room, "ok\n"), 200;
  if (DELAY_MS > 0) pause_ms(DELAY_MS);
  if (strcmp(target, "/") == 0)
    return snprintf(body, room, "{\"version\": \"%s\", \"stock\": %d}\n", VERSION, stock), 200;
  int pieces = order_pieces(target);
  if (pieces < 0) return snprintf(body, room, "{\"error\": \"no such thing\"}\n"), 404;
  return snprintf(body, room, "{\"version\": \"%s\", \"total\": %d}\n", VERSION, order_total(pieces, price)), 200;
}

/* Answers one request at a time, as long as the client keeps the connection. */
static void *serve(void *argument) {
  int client = (int)(long)argument;
  char request[8192];
  size_t have = 0;
  limit(client, 60);
  for (;;) {
    char *end;
    request[have] = 0;
    while (!(end = strstr(request, "\r\n\r\n"))) {
      ssize_t count = have < sizeof request - 1 ? recv(client, request + have, sizeof request - 1 - have, 0) : 0;
      if (count <= 0) goto done;
      have += (size_t)count;
      request[have] = 0;
    }
    busy++;
    end[2] = 0;
    int last = ending || strcasestr(request, "\r\nconnection: close") != NULL;
    char method[8], target[2048], body[256], head[256];
    int status = 400, length = 0;
    if (sscanf(request, "%7s %2047s", method, target) == 2 && strcmp(method, "GET") == 0)
      status = answer(target, body, sizeof body);
    else
      snprintf(body, sizeof body, "{\"error\": \"GET only\"}\n");
    length = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
      status, status == 200 ? "OK" : "Error", strlen(body), last ? "Connection: close\r\n" : "");
    int sent = send(client, head, (size_t)length, MSG_NOSIGNAL | MSG_MORE) > 0
      && send(client, body, strlen(body), MSG_NOSIGNAL) > 0;
    busy--;
    if (!sent || last || status == 400) break;
    have -= (size_t)(end + 4 - request);
    memmove(request, end + 4, have);
  }
done:
  close(client);
  return NULL;
}

static void end_now(int number) {
  (void)number;
  ending = 1;
}

int main(void) {
  struct sigaction end = {.sa_handler = end_now};
  sigaction(SIGTERM, &end, NULL);
  sigaction(SIGINT, &end, NULL);
  int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int one = 1, zero = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
  struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(8080), .sin6_addr = in6addr_any};
  if (bind(listener, (struct sockaddr *)&any, sizeof any) != 0 || listen(listener, 512) != 0) {
    perror("web: port 8080");
    return 1;
  }
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 * 1024);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  pthread_create(&thread, &small, watch_stock, NULL);
  while (!ending) {
    int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (pthread_create(&thread, &small, serve, (void *)(long)client) != 0) close(client);
  }
  close(listener);
  for (int i = 0; i < 200 && busy > 0; i++) usleep(10000);
  return 0;
}
