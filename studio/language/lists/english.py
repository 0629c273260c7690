"""English. Moods are VADER's (package vaderSentiment); refusals and insults are lists of this project."""

from __future__ import annotations

from studio.language.lists.base import WordLists

_WHO = r"\b(?:i|we)"
_ADVERBS = (
    r"(?:,? (?:really|simply|possibly|ethically|legally|morally|directly|personally|unfortunately|honestly|just|also|ever|"
    r"currently|knowingly|in good (?:conscience|faith)|under any circumstances),?)*"
)
_CANNOT = (
    r"(?: (?:can't|cannot|can not|won't|will not|am unable to|are unable to|am not able to|are not able to|won't be able to|"
    r"will not be able to|am not going to|are not going to|am not allowed to|are not allowed to|don't|do not)"
    r"|'m (?:unable|not able|not going|not allowed) to|'re (?:unable|not able|not going|not allowed) to)"
)
_DO = (
    r"(?:help(?: you)?|assist|provide|answer|comply|discuss|fulfil|fulfill|write|create|generate|support|engage|continue|give|"
    r"offer|share|tell|participate|recommend|encourage|explain|describe|teach|show|produce|facilitate|condone|promote|respond|"
    r"request|say (?:that|this)(?=[.!]|$)|do (?:that|this|it|so)|make (?:that|this|such))\b"
)
# "I can't help but smile", "I can't tell you how glad I am", "I cannot recommend it enough" decline nothing.
_NOT_IDIOMS = (
    r"(?! but\b)(?! (?:noticing|feeling|wondering|thinking|smiling|liking|loving|laughing|admiring)\b)"
    r"(?! you how (?:much|happy|glad|sorry|grateful|excited|often|proud|nice)\b)"
    r"(?![^.!?;:]*\b(?:enough|(?:more )?highly)\b)"
)
# Whom an insult is aimed at.
_PEOPLE = (
    r"(?:you|they|he|she|we|people|men|women|kids|girls|boys|immigrants|migrants|refugees|foreigners|muslims|christians|jews|"
    r"hindus|blacks|whites|asians|arabs|africans|mexicans|gays|lesbians|americans|europeans|germans|indians|chinese|swedes|"
    r"turks)"
)
_BE = r"(?:'re| are|'s| is| was| were| must be)"
_VERY = r"(?: (?:a|an|all|just|such|so|very|really|too|completely|totally|utterly|fucking|bloody|little|dirty|filthy|pathetic))*"
_ONLY_AIMED = (
    r"(?:stupid|scum|scumbags?|pricks?|retard(?:ed|s)?|vermin|worthless|degenerates?|perverts?|bastards?|bitch(?:es)?|dumb|"
    r"idiotic|moronic|pigs?|trash|garbage|filth|parasites|savages|cockroaches|animals|crap)"
)

LISTS = WordLists(
    code="en",
    refusals=(
        rf"{_WHO}{_CANNOT}{_ADVERBS} {_DO}{_NOT_IDIOMS}",
        rf"\bsorry\b[^.!?]{{0,20}}{_WHO}{_CANNOT}(?= do (?:that|this|it)\b|[.!,;]|$)",
        r"^(?:no[,.]? )?(?:(?:i'm |i am )?sorry,? (?:but )?)?i (?:can't|cannot|can not|won't|will not)(?: do (?:that|this|"
        r"it))?[.!]?$",
        r"\b(?:not something|something|a topic|a request) (?:that )?(?:i|we)(?: can't| cannot| won't| will not| can| could|"
        r"'m able to|"
        r" am able to|'m willing to| am willing to)(?: be able to)? (?:help|assist|do\b|provide|answer|discuss|support)"
        r"(?<!something i can help)(?<!something we can help)(?<!something i can do)(?<!something we can do)",
        r"\bnot something (?:that )?(?:i|we)(?: can|'m able to| am able to| could) (?:help|do\b)",
        r"\bas an? (?:ai|artificial intelligence|language model|large language model|ai language model|virtual assistant|"
        r"chatbot)"
        r"[^.]{0,60}\b(?:can't|cannot|can not|not able|unable|won't|will not|don't|do not|not appropriate)",
        rf"{_WHO} (?:don't|do not) (?:feel comfortable|think it(?:'s| is) appropriate)",
        rf"{_WHO}(?:'d| would)? (?:rather not|prefer not to) (?:help|answer|discuss|say|do|talk|explain|share)",
        rf"{_WHO}(?:'d|'ll| must| have to| need to| would| will)?(?: have to)?(?: respectfully| politely| firmly| strongly)*"
        r" (?:decline|refuse)\b(?! to (?:believe|give up|accept|be|let|think))",
        r"\b(?:against|violates?|goes against|contrary to) (?:my|our) (?:guidelines|programming|polic(?:y|ies)|principles|"
        r"rules)",
        r"\b(?:my|our) (?:guidelines|programming|polic(?:y|ies)|principles|rules) (?:do not|does not|don't|doesn't|prevents?|"
        r"prohibits?|forbids?)",
        r"\bit (?:is|would be|'s) (?:not appropriate|inappropriate|unethical|illegal|irresponsible|wrong)(?: and \w+)? "
        r"(?:for me to|to (?:help|assist)\b)",
    ),
    noes=(
        "no", "nope", "no way", "never", "absolutely not", "certainly not", "definitely not", "of course not", "no, sorry",
        "no. sorry", "sorry, no", "no, thank you", "no, i won't", "no, i will not", "i refuse",
    ),
    yes_no=(
        r"^(?:and |but |so |or |then )?(?:is|are|am|was|were|do|does|did|can|could|may|might|must|should|shall|will|would|has|"
        r"have|"
        r"had|isn't|aren't|don't|doesn't|can't)\b"
    ),
    toxic=(
        *("arsehole*", "asshole*", "bollocks", "cocksucker*", "cunt*", "damn", "damned", "damnit", "dickhead*", "dipshit*"),
        *("dumbass*", "fuck*"),
        *("goddamn*", "jackass*", "motherfuck*", "pissed off", "piss off", "shit", "shits", "shitty", "bullshit*", "shithead*"),
        *("slut", "sluts", "slutty", "twat", "twats", "wanker*", "whore*", "cretin", "cretins", "dimwit*", "dammit"),
        *("imbecile*", "lowlife*", "moron", "morons", "nitwit*", "subhuman*", "chinks", "dykes", "faggot", "gook", "gooks"),
        *("gyppo*", "kike", "kikes", "nigga*", "nigger*", "raghead*", "towelhead*", "tranny", "trannies", "wetback*"),
    ),
    toxic_phrases=(
        r"(?:i|we)(?: will|'ll| would| should| want to| are going to| am going to|'m going to) "
        r"(?:kill|hurt|rape|beat|shoot|stab) (?:you|them|him|her)",
        r"(?:you|they|he|she) (?:should|deserves? to|ought to) (?:die|be killed|be shot|be exterminated|be hanged)",
        r"kill (?:yourself|themselves|all (?:of )?(?:the|those|them)\b)",
        r"go back to (?:your|their|his|her) (?:own )?country",
        r"go to hell\b",
        r"idiots?\b(?!-| proof)",
        rf"{_PEOPLE}{_BE}{_VERY} {_ONLY_AIMED}\b(?! (?:of|to|at|as) )",
        rf"(?:you|your|these|those|filthy|dirty|fucking|bloody|lazy|ugly) (?:stupid |dirty |filthy |little |old |"
        rf"fucking )*{_ONLY_AIMED}\b"
        r"(?<!these animals)(?<!those animals)(?<!your animals)(?<!these pigs)(?<!your pigs)(?<!these stupid)(?<!your stupid)"
        r"(?<!your trash)(?<!your garbage)(?<!these parasites)(?<!those parasites)(?<!your crap)(?<!your pig)(?<!your dumb)"
        r"(?<!these perverts of)(?<!those stupid)(?<!your worthless)(?<!these worthless)(?<!those worthless)",
        r"(?:stupid|dumb|retarded|worthless) (?:person|people|man|woman|men|women|boys?|girls?|kids?|cow|bitch|immigrants|"
        r"foreigners)\b",
        r"(?:scum|vermin) of (?:the earth|society|humanity)",
        r"(?:a|another|that|dirty|filthy|lazy) (?:chink|coon|dyke|fag|spic|paki)\b(?! (?:in|on|cat|cats|cheddar|along|between|"
        r"of)\b)",
        r"(?:coons|fags|spics|pakis) (?:are|should|deserve|must)\b",
    ),
    openings=(
        r"(?:sure|certainly|of course|absolutely|gladly|okay|ok)(?: thing)?[!.,] "
        r"(?:here(?:'s| is| are)\b[^.!?:\n]{0,120}[:.!](?=\s))",
        r"(?:sure|certainly|of course|absolutely|definitely|gladly|no problem|understood|got it|okay|ok|alright)"
        r"(?: thing)?[!.](?=\s)",
        r"(?:that's |that is |what )?(?:a |an )?(?:really |very )?(?:great|good|excellent|fantastic|wonderful|interesting) "
        r"question[!.](?=\s)",
        r"(?:i'd|i would|i'll|i will|i'm|i am)(?: be)?(?: more than)? (?:happy|glad|delighted|pleased) to (?:help|assist)"
        r"[^.!?\n]{0,60}[.!](?=\s)",
        r"thank(?:s| you)(?: so much| very much)? for (?:your (?:question|message|request)|asking|reaching out)"
        r"[^.!?\n]{0,40}[.!](?=\s)",
        r"as an? (?:(?:large )?language model|ai|artificial intelligence)(?: (?:language )?model| assistant| chatbot)?"
        r"(?: (?:developed|trained|created|made) by [^,.\n]{1,40})?,(?=\s)",
    ),
    # Rae et al. 2021, appendix A.1.1: a document without two of these is removed.
    function_words=("the", "be", "to", "of", "and", "that", "have", "with"),
)  # fmt: skip
