extern "C" {
void TVMFFISomethingOfTheFuture();
__attribute__((visibility("default"))) int __tvm_ffi_needy(void*, const void*, int, void*) {
  TVMFFISomethingOfTheFuture();
  return 0;
}
}
