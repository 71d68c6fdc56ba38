/* A number that changes with every signature of the library: a library of another age is refused when it is loaded. */
__attribute__((visibility("default"))) long long levada_abi(void) { return 1; }
