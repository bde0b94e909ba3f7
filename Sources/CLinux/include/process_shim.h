// Thin shims for Swift: processes, namespaces, and descriptors on their way between processes. What is here is either
// variadic (fcntl, ioctl, syscall), a macro (CMSG_*), unavailable to Swift (fork), or must run between fork and exec,
// where nothing of the Swift runtime may be touched.
#ifndef NETLOOM_PROCESS_SHIM_H
#define NETLOOM_PROCESS_SHIM_H

#include <stdint.h>
#include <sys/types.h>

// fcntl(2): F_DUPFD_CLOEXEC, F_GETFL, F_SETFL, FD_CLOEXEC on or off. -1 and errno on failure, as all calls below.
int nl_dup_cloexec(int fd);
int nl_get_flags(int fd);
int nl_set_flags(int fd, int flags);
int nl_set_cloexec(int fd, int on);

// pidfd_open(2), pidfd_send_signal(2).
int nl_pidfd_open(pid_t pid);
int nl_pidfd_send_signal(int pidfd, int sig);

// One datagram or piece of stream with descriptors attached (SCM_RIGHTS); received ones are O_CLOEXEC.
// More than NL_MAX_DESCRIPTORS at once: EINVAL on sending, dropped by the kernel on receiving.
#define NL_MAX_DESCRIPTORS 16
ssize_t nl_send_descriptors(int sock, const void *bytes, size_t count, const int *fds, int fd_count);
ssize_t nl_receive_descriptors(int sock, void *bytes, size_t count, int *fds, int *fd_count);

// fork(2), which Swift hides: only while the process has one thread.
pid_t nl_fork(void);

// As nl_fork, but the new process is the child of the pid namespace's init, not of the caller. Returns its pid, 0 in it.
pid_t nl_fork_orphan(void);

// Writes what ps shows of this process over its arguments: `room` bytes from `start` on, the rest zeros.
void nl_set_title(char *start, size_t room, const char *title);

// A forked child that closes everything and sleeps for ever in the network namespace `net`; it is never exec'd.
// It ends by any signal whose default is to end. `name` (15 bytes count) is what ps shows.
pid_t nl_fork_paused(int net, const char *name);

// What a new process shall be. Namespaces and stdio are descriptors, -1: as the parent has it.
struct nl_process {
  char *const *argv;        // argv[0] without a slash is looked up in the PATH of `envp`, inside `mount`
  char *const *envp;
  const char *directory;    // NULL: unchanged; falls back to "/" when it does not exist
  int net, mount, uts;
  int input, output, error;
  const int *keep;          // descriptors that keep their numbers across exec
  int keep_count;
  int terminal;             // 1: input is a terminal and becomes the controlling one
  uint32_t uid, gid;        // UINT32_MAX: unchanged
  uint64_t open_files;      // soft RLIMIT_NOFILE; 0: unchanged
};

// Where a spawn failed, for the message.
enum nl_spawn_stage {
  NL_SPAWN_CLONE, NL_SPAWN_NET, NL_SPAWN_MOUNT, NL_SPAWN_UTS, NL_SPAWN_STDIO, NL_SPAWN_TERMINAL, NL_SPAWN_USER,
  NL_SPAWN_DIRECTORY, NL_SPAWN_EXEC
};

// Starts a process in a session and process group of its own, all signals at their defaults and unblocked, no
// descriptors but stdio and `keep`. Returns when the exec has succeeded or failed: the pid, or -1 with errno and *stage.
pid_t nl_spawn(const struct nl_process *what, int *stage);

// A new pseudo-terminal of so many rows and columns: returns the master (O_CLOEXEC), *slave is the other side.
int nl_open_terminal(int *slave, int rows, int columns);

// The file system side of a node: unshares mount and uts of the calling thread, makes all mounts private, sets the
// hostname. Returns 0, or -1 with errno. The thread must end afterwards.
int nl_unshare_node(const char *hostname);

// The pid of the process behind `pidfd` in the pid namespace of the mounted procfs whose root directory is `proc`;
// 0 when it is not visible there. (The line "Pid:" of a pidfd's fdinfo is written for the reader's procfs.)
pid_t nl_pid_seen_from(int proc, int pidfd);

#endif
