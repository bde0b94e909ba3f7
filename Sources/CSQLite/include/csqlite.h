// The system's SQLite, and what its header says in macros that Swift cannot import.
#ifndef NETLOOM_CSQLITE_H
#define NETLOOM_CSQLITE_H

#include <sqlite3.h>

// SQLITE_TRANSIENT is a cast function pointer: SQLite copies the text before the call returns.
int csqlite_bind_text(sqlite3_stmt *statement, int index, const char *text, int length);

#endif
