#include "curl_library.h"

#include <string>

#include <dlfcn.h>

namespace kernels::hub {

namespace {

/// This name has stood for one binary interface since 2006.
constexpr const char* kName = "libcurl.so.4";

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, CurlLibrary& out) {
  return find(library, "curl_global_init", out.global_init) &&
         find(library, "curl_easy_init", out.easy_init) &&
         find(library, "curl_easy_cleanup", out.easy_cleanup) &&
         find(library, "curl_easy_reset", out.easy_reset) &&
         find(library, "curl_easy_setopt", out.easy_setopt) &&
         find(library, "curl_easy_getinfo", out.easy_getinfo) &&
         find(library, "curl_easy_strerror", out.easy_strerror) &&
         find(library, "curl_slist_append", out.slist_append) &&
         find(library, "curl_slist_free_all", out.slist_free_all) &&
         find(library, "curl_multi_init", out.multi_init) &&
         find(library, "curl_multi_cleanup", out.multi_cleanup) &&
         find(library, "curl_multi_setopt", out.multi_setopt) &&
         find(library, "curl_multi_add_handle", out.multi_add_handle) &&
         find(library, "curl_multi_remove_handle", out.multi_remove_handle) &&
         find(library, "curl_multi_perform", out.multi_perform) &&
         find(library, "curl_multi_poll", out.multi_poll) &&
         find(library, "curl_multi_wakeup", out.multi_wakeup) &&
         find(library, "curl_multi_info_read", out.multi_info_read);
}

Error cannot_load(const char* why) {
  return Error(Errc::io,
               std::string("`") + kName + "` cannot be loaded: " + (why != nullptr ? why : "no reason given"))
      .with_hint("install libcurl 7.85 or newer, the package `libcurl4` of Debian and Ubuntu");
}

Result<CurlLibrary> load() {
  void* library = ::dlopen(kName, RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return fail(cannot_load(::dlerror()));
  CurlLibrary out{};
  if (!find_all(library, out)) return fail(cannot_load(::dlerror()));
  // Once for each process and, before 7.84, with no second thread that does the same.
  if (out.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return fail(cannot_load("its initialisation failed"));
  return out;
}

}  // namespace

const Result<CurlLibrary>& load_curl() {
  static const Result<CurlLibrary> library = load();
  return library;
}

const CurlLibrary& curl() {
  return *load_curl();
}

}  // namespace kernels::hub
