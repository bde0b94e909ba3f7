#include "CLinux.h"
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <grp.h>
#include <stdio.h>

int nl_dup_cloexec(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }
int nl_get_flags(int fd) { return fcntl(fd, F_GETFL); }
int nl_set_flags(int fd, int flags) { return fcntl(fd, F_SETFL, flags); }
int nl_set_cloexec(int fd, int on) { return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0); }

int nl_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }
int nl_pidfd_send_signal(int pidfd, int sig) { return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0); }

ssize_t nl_send_descriptors(int sock, const void *bytes, size_t count, const int *fds, int fd_count) {
  char control[CMSG_SPACE(NL_MAX_DESCRIPTORS * sizeof(int))] = {0};
  struct iovec part = {(void *)bytes, count};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd_count < 0 || fd_count > NL_MAX_DESCRIPTORS) {
    errno = EINVAL;
    return -1;
  }
  if (fd_count > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
  }
  return sendmsg(sock, &message, MSG_NOSIGNAL);
}

ssize_t nl_receive_descriptors(int sock, void *bytes, size_t count, int *fds, int *fd_count) {
  char control[CMSG_SPACE(NL_MAX_DESCRIPTORS * sizeof(int))];
  struct iovec part = {bytes, count};
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *fd_count = 0;
  ssize_t received = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int here = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (here > NL_MAX_DESCRIPTORS - *fd_count) here = NL_MAX_DESCRIPTORS - *fd_count;
    memcpy(fds + *fd_count, CMSG_DATA(header), here * sizeof(int));
    *fd_count += here;
  }
  return received;
}

pid_t nl_fork(void) { return fork(); }

pid_t nl_fork_orphan(void) {
  // A process in between, on this stack and in this memory (vfork), that forks and ends: what it forked is an orphan by
  // the time vfork returns here. libc's fork, so that the new process has a libc that knows its own thread id.
  volatile pid_t orphan = -1;
  volatile int code = 0;
  pid_t between = vfork();
  if (between < 0) return -1;
  if (between == 0) {
    pid_t pid = fork();
    if (pid == 0) return 0;
    orphan = pid;
    code = errno;
    _exit(0);
  }
  while (waitpid(between, NULL, 0) < 0 && errno == EINTR) {}
  errno = code;
  return orphan;
}

void nl_set_title(char *start, size_t room, const char *title) {
  if (room == 0) return;
  strncpy(start, title, room - 1);
  start[room - 1] = 0;
}

pid_t nl_fork_paused(int net, const char *name) {
  // The bare system call: no atfork handlers, and the child returns into this frame on its copy of the stack. The
  // descriptor table is shared at first, so that close_range need not close the copies of thousands one by one.
  pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
  if (pid != 0) return pid;
  if (net >= 0 && setns(net, CLONE_NEWNET) != 0) _exit(1);
  close_range(0, ~0U, CLOSE_RANGE_UNSHARE);
  prctl(PR_SET_NAME, name);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  for (;;) pause();
}

// ---------------------------------------------------------------- spawn

// The child runs on a stack of its own in the parent's memory (CLONE_VM | CLONE_VFORK, as posix_spawn does): no page
// tables are copied and an error is simply written where the waiting parent reads it.
struct child {
  const struct nl_process *what;
  int code;
  int stage;
};

static const char *value_of_path(char *const *envp) {
  for (; envp && *envp; envp++)
    if (!strncmp(*envp, "PATH=", 5)) return *envp + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

// execve(2), and a file without a #! line is a script of /bin/sh, as execvp(3) has it.
static void execute(const char *path, const struct nl_process *what) {
  execve(path, what->argv, what->envp);
  if (errno != ENOEXEC) return;
  int count = 0;
  while (what->argv[count]) count++;
  if (count > 500) { errno = E2BIG; return; }
  char *script[512] = {"/bin/sh", (char *)path};
  for (int i = 1; i < count; i++) script[i + 1] = what->argv[i];
  execve("/bin/sh", script, what->envp);
}

static void search_and_execute(const struct nl_process *what) {
  const char *name = what->argv[0];
  if (strchr(name, '/')) { execute(name, what); return; }
  if (!*name) { errno = ENOENT; return; }
  int denied = 0;
  char path[4096];
  for (const char *start = value_of_path(what->envp);; ) {
    const char *end = strchrnul(start, ':');
    int length = (int)(end - start);
    if ((size_t)length + strlen(name) + 2 <= sizeof path) {
      memcpy(path, start, length);
      if (length) path[length++] = '/';
      strcpy(path + length, name);
      execute(path, what);
      if (errno == EACCES) denied = 1;
      else if (errno != ENOENT && errno != ENOTDIR) return;
    }
    if (!*end) break;
    start = end + 1;
  }
  errno = denied ? EACCES : ENOENT;
}

static int enter(int fd, int kind) { return fd >= 0 && setns(fd, kind) != 0; }

// Puts three descriptors on 0, 1 and 2. Those below 3 are moved out of the way first.
static int place_stdio(const struct nl_process *what) {
  int from[3] = {what->input, what->output, what->error};
  for (int i = 0; i < 3; i++) {
    if (from[i] < 0 || from[i] == i) continue;
    if (from[i] < 3 && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3)) < 0) return -1;
  }
  for (int i = 0; i < 3; i++) {
    if (from[i] < 0) continue;
    if ((from[i] == i ? fcntl(i, F_SETFD, 0) : dup2(from[i], i)) < 0) return -1;
  }
  return 0;
}

// AddressSanitizer would look for its stack where the parent's thread has one, and warn on our standard error.
__attribute__((no_sanitize("address"))) static int run_child(void *argument) {
  struct child *child = argument;
  const struct nl_process *what = child->what;
  setsid();
  child->stage = NL_SPAWN_NET;
  if (enter(what->net, CLONE_NEWNET)) goto failed;
  child->stage = NL_SPAWN_UTS;
  if (enter(what->uts, CLONE_NEWUTS)) goto failed;
  child->stage = NL_SPAWN_STDIO;
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  if (place_stdio(what)) goto failed;
  for (int i = 0; i < what->keep_count; i++)
    if (fcntl(what->keep[i], F_SETFD, 0)) goto failed;
  child->stage = NL_SPAWN_TERMINAL;
  if (what->terminal && ioctl(0, TIOCSCTTY, 0)) goto failed;
  child->stage = NL_SPAWN_MOUNT;
  if (enter(what->mount, CLONE_NEWNS)) goto failed;
  child->stage = NL_SPAWN_USER;
  if (what->gid != UINT32_MAX && (setgroups(0, NULL) || setresgid(what->gid, what->gid, what->gid))) goto failed;
  if (what->uid != UINT32_MAX && setresuid(what->uid, what->uid, what->uid)) goto failed;
  struct rlimit files;
  if (what->open_files && !getrlimit(RLIMIT_NOFILE, &files)) {
    files.rlim_cur = what->open_files;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  child->stage = NL_SPAWN_DIRECTORY;
  if (what->directory && chdir(what->directory) && chdir("/")) goto failed;
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int i = 1; i < 65; i++) sigaction(i, &standard, NULL);   // exec keeps ignored signals ignored
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  child->stage = NL_SPAWN_EXEC;
  search_and_execute(what);
failed:
  child->code = errno ? errno : EIO;
  _exit(127);
}

// clone(2) under its other name: ThreadSanitizer wraps `clone` for children with a memory of their own, and breaks in one
// that shares its parent's.
extern int __clone(int (*function)(void *), void *stack, int flags, void *argument, ...);

pid_t nl_spawn(const struct nl_process *what, int *stage) {
  enum { stack_size = 128 * 1024 };
  *stage = NL_SPAWN_CLONE;
  char *stack = mmap(NULL, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  struct child child = {.what = what};
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  pid_t pid = __clone(run_child, stack + stack_size, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
  int code = errno;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  munmap(stack, stack_size);
  if (pid < 0) {
    errno = code;
    return -1;
  }
  if (child.code == 0) return pid;
  // It never became a program: take its zombie away here, so that nobody hears of it.
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
  *stage = child.stage;
  errno = child.code;
  return -1;
}

int nl_open_terminal(int *slave, int rows, int columns) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return -1;
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) || (rows > 0 && ioctl(master, TIOCSWINSZ, &size))) goto failed;
  // By descriptor, not by name: the name may mean another terminal in this mount namespace.
  *slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (*slave >= 0) return master;
failed:;
  int code = errno;
  close(master);
  errno = code;
  return -1;
}

int nl_unshare_node(const char *hostname) {
  if (unshare(CLONE_NEWNS | CLONE_NEWUTS)) return -1;
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) return -1;
  return sethostname(hostname, strlen(hostname));
}

pid_t nl_pid_seen_from(int proc, int pidfd) {
  char path[64], text[512];
  snprintf(path, sizeof path, "self/fdinfo/%d", pidfd);
  int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t count = read(fd, text, sizeof text - 1);
  close(fd);
  if (count <= 0) return 0;
  text[count] = 0;
  const char *line = strstr(text, "\nPid:");
  int pid = line ? atoi(line + 5) : 0;
  return pid > 0 ? pid : 0;
}
