#pragma once

#include <curl/curl.h>

#include "kernels/base/error.h"

namespace kernels::hub {

/// The functions of libcurl that are used, without their prefix `curl_`.
///
/// The library is loaded at the first request and not linked: with the thirty libraries behind it, it takes
/// longer to load than everything that a command does that finds its files in the cache.
struct CurlLibrary {
  decltype(&::curl_global_init) global_init;
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_easy_reset) easy_reset;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;
  decltype(&::curl_multi_init) multi_init;
  decltype(&::curl_multi_cleanup) multi_cleanup;
  decltype(&::curl_multi_setopt) multi_setopt;
  decltype(&::curl_multi_add_handle) multi_add_handle;
  decltype(&::curl_multi_remove_handle) multi_remove_handle;
  decltype(&::curl_multi_perform) multi_perform;
  decltype(&::curl_multi_poll) multi_poll;
  decltype(&::curl_multi_wakeup) multi_wakeup;
  decltype(&::curl_multi_info_read) multi_info_read;
};

/// Loads and initialises the library once and keeps it until the process ends.
/// Errors  io: it is not installed, or too old. Threads  any; the first call should come before others use
/// it.
const Result<CurlLibrary>& load_curl();

/// The loaded library. Only after `load_curl` succeeded.
const CurlLibrary& curl();

}  // namespace kernels::hub
