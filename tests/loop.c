/* Loaded into Orthanc by tests: it has no setting for the address it listens on, and would open its ports to every network. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

int bind(int socket, const struct sockaddr *address, socklen_t size) {
  int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "bind");
  if (address->sa_family != AF_INET) return real(socket, address, size);
  struct sockaddr_in local = *(const struct sockaddr_in *)address;
  local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return real(socket, (const struct sockaddr *)&local, sizeof local);
}
