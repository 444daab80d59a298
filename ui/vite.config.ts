import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// Relative addresses work under any prefix; nothing is inlined, since the pages' policy allows
// neither inline scripts nor inline styles.
export default defineConfig({
  base: './',
  plugins: [react()],
  build: {
    outDir: '../control_plane/ui/static',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/api': process.env.MODELPLANE_URL ?? 'http://127.0.0.1:8080',
      '/serving-endpoints': process.env.MODELPLANE_URL ?? 'http://127.0.0.1:8080',
    },
  },
})
