# SPDX-License-Identifier: MIT
# What `npm install` builds with node-gyp; native/CMakeLists.txt builds the same sources for other machines.
{
  "targets": [
    {
      "target_name": "kmho",
      "sources": [
        "native/src/addon.cc",
        "native/src/call.cc",
        "native/src/memory.cc"
      ],
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "kernel/overlay/include/uapi"
      ],
      "defines": [
        "NAPI_VERSION=8",
        "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS",
        "NODE_ADDON_API_DISABLE_DEPRECATED"
      ],
      "cflags": ["-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-fno-exceptions"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"]
    }
  ]
}
