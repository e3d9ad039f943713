// Imports what a torch kernel of the stable ABI imports, and is never loaded: only its symbols are read.
extern "C" {
int aoti_torch_library_init_def(const char* ns, const char* file, unsigned line, void** library);
__attribute__((visibility("default"))) int touch(void** library) {
  return aoti_torch_library_init_def("ns", __FILE__, 1, library);
}
}
